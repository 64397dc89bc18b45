"""Our own model folder.

model.json                    the config, field by field; it holds no paths
<component>.safetensors       one file per network; names are paths joined with "/" (8-bit weights: `int8`)
trained_on.json               optional: whom it was trained on (trained_on.py)
tokenizer/                    a transformers CLIP tokenizer
face_pack/                    optional
safety_checker/               optional (`safety_checker`)

An adapter folder has adapter.json in place of model.json and only what goes on top of a base: no UNet, VAE, text
encoder and tokenizer. Several bases of one shape share it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert import int8, tensors
from dynamicid_jax.convert.engine import Report
from dynamicid_jax.convert.expected import flat_shapes
from dynamicid_jax.convert.limits import check_limits
from dynamicid_jax.convert.parts import DTYPES, STATISTICS, Part, parse_dtype
from dynamicid_jax.convert.rules import Rule, Table
from dynamicid_jax.convert.safety_checker import FOLDER as SAFETY_CHECKER
from dynamicid_jax.convert.safety_checker import copy_safety_checker, find_safety_checker
from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.convert.trained_on import TRAINED_ON, Trained
from dynamicid_jax.errors import InputError, OutputError, WeightsError
from dynamicid_jax.files import copy_folder, whole_folder
from dynamicid_jax.models.configs import ModelConfig, from_dict, to_dict
from dynamicid_jax.trees import flatten

MODEL_JSON, ADAPTER_JSON, TOKENIZER, FACE_PACK = (
    "model.json",
    "adapter.json",
    "tokenizer",
    "face_pack",
)
BASE = ("unet", "vae", "text_encoder")
ON_TOP = ("adapter", "face_projection", "image_encoder", "imr", "keypoint_encoder")
SHARED = (*ON_TOP, "id_channels", "reference_crop", "weights")  # what adapter.json says
REPORT = "export.json"  # what `dynamicid export` leaves in every folder that it wrote
REPLACED = (MODEL_JSON, ADAPTER_JSON, REPORT)  # a folder with one of them is ours to replace
STORED = (*DTYPES, int8.INT8)  # what weights can be written as
KEYPOINTS = {"keypoint_encoder": "params", "keypoint_stats": "batch_stats"}


def is_model_folder(folder: Path) -> bool:
    """Whether a folder is of this kind."""
    return (folder / MODEL_JSON).is_file()


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder holds what goes on top of a base: of this kind, or a whole model."""
    return (folder / ADAPTER_JSON).is_file() or is_model_folder(folder)


def save(
    folder: str | Path,
    config: ModelConfig,
    weights: Mapping[str, Any],
    tokenizer_dir: str | Path,
    face_pack_dir: str | Path | None = None,
    overwrite: bool = False,
    dtype: str | None = None,
    trained_on: Trained | None = None,
) -> None:
    """Writes a model folder: whole, or not at all.

    A safety checker beside the tokenizer, where models have theirs, is copied with it: no way of making one model out
    of another loses it.

    Args:
        folder: where to; its parent must exist.
        config: the model.
        weights: {component: nested parameters}, fitting the config exactly.
        tokenizer_dir: copied to tokenizer/.
        face_pack_dir: copied to face_pack/.
        overwrite: replace a model folder that is there already; nothing else is ever replaced.
        dtype: of STORED, what to write the weights as; None: as they are. Running statistics stay float32.
        trained_on: whom the model has seen; None where that is not known.

    Raises:
        InputError: another dtype.
        OutputError: the folder is in the way or cannot be written.
        WeightsError: weights that do not fit the config, or are not finite (int8).
    """
    folder, tokenizer = Path(folder), Path(tokenizer_dir)
    checker = find_safety_checker(tokenizer.parent) if tokenizer.name == TOKENIZER else None
    _check_fit(config, weights)
    with staged(folder, overwrite) as partial:
        _write(partial, MODEL_JSON, config, weights, dtype)
        copy_folder(tokenizer, partial / TOKENIZER)
        if face_pack_dir is not None:
            copy_folder(Path(face_pack_dir), partial / FACE_PACK)
        if checker is not None:
            copy_safety_checker(checker, partial / SAFETY_CHECKER)
        if trained_on is not None:
            said = json.dumps(trained_on.to_json()) + "\n"
            (partial / TRAINED_ON).write_text(said, encoding="utf-8")


def save_adapter(
    folder: str | Path,
    config: ModelConfig,
    weights: Mapping[str, Any],
    face_pack_dir: str | Path | None = None,
    overwrite: bool = False,
    dtype: str | None = None,
) -> None:
    """Writes an adapter folder; arguments and errors as `save`, of whose networks the base's are left out.

    Raises:
        InputError: also for a model without an adapter.
    """
    if config.adapter is None:
        raise InputError("adapter: this model has none, so there is nothing to share")
    _check_fit(config, weights)
    own = {name: tree for name, tree in weights.items() if name not in BASE}
    with staged(Path(folder), overwrite) as partial:
        _write(partial, ADAPTER_JSON, config, own, dtype)
        if face_pack_dir is not None:
            copy_folder(Path(face_pack_dir), partial / FACE_PACK)


def _write(
    folder: Path, kind: str, config: ModelConfig, weights: Mapping[str, Any], dtype: str | None
) -> None:
    """A new folder's config and weights."""
    if dtype is not None:
        config = replace(config, dtype=_known(dtype))  # type: ignore[arg-type]  # checked
    values = to_dict(config)
    if kind == ADAPTER_JSON:
        values = {key: values[key] for key in (*SHARED, "dtype")}
    folder.mkdir()
    for name, arrays in _files(weights, dtype).items():
        tensors.write(folder / f"{name}.safetensors", arrays)
    (folder / kind).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@contextmanager
def staged(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """As `whole_folder`, for a folder that only takes a model folder's or an export's place, and that when asked to.

    Raises:
        OutputError: `folder` is in the way, or cannot be written.
    """
    check_target(folder, overwrite)
    with whole_folder(folder) as partial:
        yield partial


def check_target(folder: Path, overwrite: bool) -> None:
    """Whether a model folder may be written there.

    Raises:
        OutputError: it is there already, and is no model folder or is to be kept.
    """
    if folder.exists() and not overwrite:
        raise OutputError(f"{folder}: exists already; choose another name or ask to overwrite it")
    if folder.exists() and not any((folder / name).is_file() for name in REPLACED):
        raise OutputError(f"{folder}: is not a model folder, so it is not overwritten")
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"{folder}: its parent folder does not exist; make it first")


def _check_fit(config: ModelConfig, weights: Mapping[str, Any]) -> None:
    """The weights' paths and shapes against the config's."""
    expected = flat_shapes(config)
    given = {path: tuple(leaf.shape) for path, leaf in flatten(weights).items()}
    report = Report(
        missing=sorted(expected.keys() - given.keys()),
        unexpected=sorted(given.keys() - expected.keys()),
        misshaped=[
            f"{path} is {list(given[path])}, expected {list(shape)}"
            for path, shape in expected.items()
            if given.get(path, shape) != shape
        ],
    )
    report.check("the weights must be of the model that the config describes")


def _files(weights: Mapping[str, Any], dtype: str | None) -> dict[str, dict[str, Any]]:
    """{file: {name: array}}; the keypoint encoder's two collections share a file."""
    files: dict[str, dict[str, Any]] = {}
    for component, tree in weights.items():
        flat = flatten({KEYPOINTS[component]: tree} if component in KEYPOINTS else tree)
        kept = dtype is None or component.startswith(STATISTICS)
        name = "keypoint_encoder" if component in KEYPOINTS else component
        files.setdefault(name, {}).update(flat if kept else _cast(flat, dtype))
    return files


def _known(dtype: str) -> str:
    if dtype not in STORED:
        raise InputError(f"dtype: {dtype!r} cannot be written; expected {', '.join(STORED)}")
    return dtype


def _cast(flat: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """Arrays as they are written."""
    if dtype == int8.INT8:
        return int8.stored(flat)
    return {name: np.asarray(array).astype(parse_dtype(dtype)) for name, array in flat.items()}


def read_config(folder: Path) -> ModelConfig:
    """`model.json`.

    Raises:
        WeightsError: missing, not JSON, an unknown key, a value of the wrong kind or out of all proportion.
    """
    path = folder / MODEL_JSON
    return check_limits(from_dict(ModelConfig, read_json(path), str(path)), str(path))


def read_shared(folder: Path) -> dict[str, Any]:
    """What an adapter folder, or a model folder, brings to another base: fields of its config.

    Raises:
        WeightsError: as `read_config`; also a folder without an adapter.
    """
    path = folder / ADAPTER_JSON
    path = path if path.is_file() else folder / MODEL_JSON
    config = from_dict(ModelConfig, read_json(path), str(path))
    if config.adapter is None:
        raise WeightsError(f"{path}: has no adapter; give a folder that was trained with people")
    values = {name: getattr(config, name) for name in SHARED}
    return {name: value for name, value in values.items() if value is not None}


def open_parts(folder: Path, config: ModelConfig, base: bool = True) -> list[Part]:
    """The files of every component that the config has; their headers are checked.

    Args:
        folder: where they are.
        config: of the model.
        base: False leaves out the base's own.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    names = list(BASE) if base else []
    optional = [name for name in ON_TOP if name != "keypoint_encoder"]
    names += [name for name in optional if getattr(config, name) is not None]
    parts = [_part(folder, name, [Rule("{path}", f"{name}/{{path}}")], (name,)) for name in names]
    if config.keypoint_encoder is not None:
        table = [
            Rule(f"{collection}/{{path}}", f"{component}/{{path}}")
            for component, collection in KEYPOINTS.items()
        ]
        parts.append(_part(folder, "keypoint_encoder", table, tuple(KEYPOINTS)))
    return parts


def _part(folder: Path, name: str, table: Table, components: tuple[str, ...]) -> Part:
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file; {MODEL_JSON} says that the model has this network"
        )
    return Part(int8.opened(tensors.open_file(path)), table, components)
