"""Pictures as a TFDS dataset in ArrayRecord, without TensorFlow.

Imported only where a dataset is written or read: TFDS is part of the `train` extra.
"""

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dynamicid_jax.data.record import DATASET_VERSION, PictureRecord

SHARD_BYTES = 128 * 2**20  # aimed at, where no number of shards is asked for

FEATURES = {
    "key": tfds.features.Text(),
    "person": tfds.features.Text(),
    "picture": tfds.features.Image(shape=(None, None, 3)),  # encoded bytes in, encoded bytes out
    "width": np.int64,
    "height": np.int64,
    "caption": tfds.features.Text(),
    "face_prompt": tfds.features.Text(),
    "expression": tfds.features.Text(),
    "expression_source": tfds.features.Text(),
    "yaw": np.float32,
    "pitch": np.float32,
    "roll": np.float32,
    "pose_source": tfds.features.Text(),
    "face_box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
    "raster": tfds.features.Tensor(shape=(1152,), dtype=np.uint8),
    "embedding": tfds.features.Tensor(shape=(None,), dtype=np.float32),
    "studio_cell": np.int64,
    "source": tfds.features.Text(),
    "sha256": tfds.features.Text(),
    "licence": tfds.features.Text(),
    "consent": tfds.features.Text(),
    "quality": tfds.features.Text(),
}
"""One entry per field of `PictureRecord`."""

Examples = Iterator[tuple[int, dict[str, Any]]]


class FacePictures(tfds.core.GeneratorBasedBuilder):
    """Pictures of persons with what training reads about them, in the order given."""

    VERSION = tfds.core.Version(DATASET_VERSION)

    def __init__(self, *, examples: Mapping[str, Examples], **options: Any) -> None:
        self._examples = examples
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, *unused: Any) -> Mapping[str, Examples]:
        return self._examples

    def _generate_examples(self) -> None:
        raise NotImplementedError  # the splits come ready made


def write_splits(folder: Path, examples: Mapping[str, Examples], shards: int | None) -> None:
    """Writes every split as ArrayRecord files below `folder`."""
    builder = FacePictures(examples=examples, data_dir=str(folder), file_format="array_record")
    config = tfds.download.DownloadConfig(
        num_shards=shards, min_shard_size=SHARD_BYTES // 2, max_shard_size=SHARD_BYTES
    )
    with contextlib.redirect_stdout(io.StringIO()), _no_bars():
        builder.download_and_prepare(download_config=config)
    shutil.rmtree(folder / "downloads", ignore_errors=True)  # TFDS makes it, empty


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """TFDS draws its own bars, which would break those of our commands."""
    shown = tfds.core.utils.tqdm_utils._active  # it has switches, but none to ask
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            tfds.enable_progress_bar()


def open_split(folder: Path, split: str) -> Any:
    """Random access to a split's examples; pictures stay encoded."""
    builder = tfds.builder_from_directory(folder / "face_pictures" / DATASET_VERSION)
    decoders = {"picture": tfds.decode.SkipDecoding()}
    return builder.as_data_source(split=split, decoders=decoders)


def to_example(record: PictureRecord) -> dict[str, Any]:
    """A record as TFDS takes it."""
    return {name: getattr(record, name) for name in FEATURES}


def from_example(example: Mapping[str, Any]) -> PictureRecord:
    """A record from what TFDS returns, which gives text back as bytes."""
    values: dict[str, Any] = {
        name: value.decode() if isinstance(value, bytes) and name != "picture" else value
        for name, value in example.items()
    }
    return PictureRecord(**values)
