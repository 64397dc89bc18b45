"""Frozen networks run once over a dataset: what training would compute again in every epoch.

    moments     of pixels, by the VAE's encoder          text        of captions, by the text encoder
    image       of references, by the image encoder      face_text   of face prompts, pooled

The rest of a batch (boxes, rasters, id embeddings) is copied, and so is a raw field whose feature is not asked for:
training finds everything in one place. Networks compute in float32; only what is stored is rounded.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dynamicid_jax.data.batch import FEATURES, NETWORKS, BatchSpec
from dynamicid_jax.data.dataset import Dataset
from dynamicid_jax.data.feature_store import field_bytes, record_bytes
from dynamicid_jax.data.record import DatasetInfo, FeatureTable, FieldLayout
from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.inference.recipe import fingerprint
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.image_encoder import ImageEncoder, normalise
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Params

KINDS = {
    "moments": "pixels",
    "text": "text_ids",
    "image": "reference",
    "face_text": "face_text_ids",
}
"""Names on the command line, and the raw field that each replaces."""

SHARD_BYTES = 256 * 2**20
PROBE = ["A portrait of a smiling woman, side view; 4k.", ""]  # tells tokenizers apart


@dataclass(frozen=True, eq=False)
class Frozen:
    """A model's frozen networks.

    Attributes:
        config: their shapes.
        weights: {component: parameters}.
        tokenizer: prompts to ids.
    """

    config: ModelConfig
    weights: Params
    tokenizer: Any

    def prints(self, fields: Collection[str]) -> tuple[str, ...]:
        """Of every network that some raw fields need, and of the tokenizer with text: "component: fingerprint"."""
        prints = []
        for component in sorted({NETWORKS[raw] for raw in fields}):
            part = {component: self.weights[component]}
            prints.append(f"{component}: {fingerprint(getattr(self.config, component), part)}")
            if component == "text_encoder":
                ids = np.ascontiguousarray(self.tokenizer.ids(PROBE), np.int32)
                prints.append(f"tokenizer: {hashlib.sha256(ids.tobytes()).hexdigest()[:16]}")
        return tuple(prints)


def encode(config: ModelConfig, weights: Params, raw: str, value: Array) -> Array:
    """A batch of one raw field as its feature, float32."""
    params = jax.tree.map(lambda x: x.astype(jnp.float32), weights[NETWORKS[raw]])
    made: Any
    if raw == "pixels":
        pictures = value.astype(jnp.float32) / 127.5 - 1
        made = VAE(config.vae).apply({"params": params}, pictures, method="encode")
        return jnp.concatenate(made, axis=-1)
    if raw == "reference":
        assert config.image_encoder is not None
        pixels = normalise(value, config.image_encoder)
        made = ImageEncoder(config.image_encoder).apply({"params": params}, pixels)
        return made[0]
    made = TextEncoder(config.text_encoder).apply({"params": params}, value)
    return made[0] if raw == "text_ids" else made[1]


def check_models(name: str, models: Sequence[str], frozen: Frozen) -> None:
    """Features against the model that is to be trained with them.

    Args:
        name: what messages call the features.
        models: of their table.
        frozen: the model's networks, with the weights as they are stored.

    Raises:
        InputError: they were computed with other networks.
    """
    components = {entry.split(":")[0] for entry in models}
    ours = set(frozen.prints([raw for raw, part in NETWORKS.items() if part in components]))
    for entry in models:
        if entry not in ours:
            raise InputError(
                f"{name}: was precomputed with another {entry.split(':')[0]} than this model's; precompute it again"
            )


@dataclass(frozen=True)
class Job:
    """What is to be computed and stored.

    Attributes:
        spec: the raw fields that are read.
        computed: those of them that are replaced by features.
        info: of the dataset that comes out, counts excepted.
        shard: records per file.
    """

    spec: BatchSpec
    computed: tuple[str, ...]
    info: DatasetInfo
    shard: int

    @property
    def table(self) -> FeatureTable:
        """Layout of a record."""
        assert self.info.features is not None
        return self.info.features

    def sizes(self) -> list[str]:
        """One line per array, per split, and in all."""
        counts = self.info.splits
        lines = [
            f"{field.name:15}{field.dtype:9}{list(field.shape)!s:18}{field_bytes(field) / 1e3:10,.1f} kB"
            for field in self.table.fields
        ]
        each = record_bytes(self.table)
        lines.append(f"{'a record':42}{each / 1e3:10,.1f} kB")
        lines += [
            f"{f'{split}: {n:,}':42}{n * each / 1e6:10,.1f} MB" for split, n in counts.items()
        ]
        lines.append(f"{'in all':42}{self.total() / 1e6:10,.1f} MB")
        return lines

    def total(self) -> int:
        """Bytes of all records."""
        return record_bytes(self.table) * sum(self.info.splits.values())


def plan_job(
    dataset: Dataset,
    frozen: Frozen,
    image_size: int,
    kinds: Sequence[str] | None = None,
    dtype: str = "float16",
) -> Job:
    """What precomputing would make, before anything is computed.

    Args:
        dataset: of pictures.
        frozen: the networks.
        image_size: side of the training pictures.
        kinds: of `KINDS`; None takes all that dataset and model allow.
        dtype: of the stored features.

    Raises:
        InputError: features of features, an unknown kind, one that the dataset cannot give, or a bad size.
        MissingPartError: the model has no image encoder, and its features are asked for.
    """
    info, config = dataset.info, frozen.config
    if info.features is not None:
        raise InputError(f"{dataset.path}: holds features already; give the dataset of pictures")
    if image_size < 1 or image_size % config.vae.downscale:
        raise InputError(
            f"--image_size {image_size}: expected a multiple of {config.vae.downscale}"
        )
    fields = ["pixels", "text_ids", "person"]
    if info.embedding_width:
        fields += ["reference", "id_embedding", "face_box"]
    if info.landmark_set:
        fields += ["raster", "face_text_ids"]
    computed = _computed(kinds, fields, frozen, dataset.path)
    encoder = config.image_encoder
    size = 224 if encoder is None else encoder.image_size
    spec = BatchSpec(tuple(fields), image_size, size, landmark_set=info.landmark_set)
    table = FeatureTable(
        _layout(spec, computed, info, frozen, dtype), image_size, frozen.prints(computed)
    )
    shard = max(1, SHARD_BYTES // record_bytes(table))
    return Job(spec, computed, dataclasses.replace(info, features=table), shard)


def _computed(
    kinds: Sequence[str] | None, fields: Sequence[str], frozen: Frozen, path: str
) -> tuple[str, ...]:
    """Raw fields that are replaced by features."""
    has_tower = frozen.config.image_encoder is not None
    possible = [kind for kind, raw in KINDS.items() if raw in fields]
    if kinds is None:
        kinds = [kind for kind in possible if has_tower or kind != "image"]
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"--features {kind}: unknown; known are {', '.join(KINDS)}")
        if kind not in possible:
            raise InputError(f"--features {kind}: {path} has no faces to compute it from")
        if kind == "image" and not has_tower:
            raise MissingPartError("--features image: the model has no image encoder")
    return tuple(raw for kind, raw in KINDS.items() if kind in kinds)


def _layout(
    spec: BatchSpec, computed: Sequence[str], info: DatasetInfo, frozen: Frozen, dtype: str
) -> tuple[FieldLayout, ...]:
    """Every array of a record; shapes of features come from the networks themselves."""
    text = (frozen.config.text_encoder.max_length,)
    pictures, reference = (spec.image_size,) * 2 + (3,), (spec.reference_size,) * 2 + (3,)
    raw = {
        "pixels": ("uint8", pictures),
        "text_ids": ("int32", text),
        "reference": ("uint8", reference),
        "id_embedding": ("float32", (info.embedding_width,)),
        "face_box": ("float32", (4,)),
        "raster": ("int8", (96, 96)),
        "face_text_ids": ("int32", text),
    }
    layout = []
    for name in spec.fields:
        if name == "person":  # the index knows it
            continue
        kind, shape = raw[name]
        if name in computed:
            one = jax.ShapeDtypeStruct((1, *shape), kind)
            made = jax.eval_shape(
                partial(encode, frozen.config, raw=name), frozen.weights, value=one
            )
            layout.append(FieldLayout(FEATURES[name], dtype, tuple(made.shape[1:])))
        else:
            layout.append(FieldLayout(name, kind, tuple(shape)))
    return tuple(layout)
