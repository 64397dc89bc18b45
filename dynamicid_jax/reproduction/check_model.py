"""The model's files: each part of the base, DynamicID's own, or a model folder. Headers are read, no weights.

PyTorch's pickles are not opened, for that means to convert them; whether they are of this model the conversion tells.
"""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dynamicid_jax.convert import base_configs, clip_configs, model_folder, published
from dynamicid_jax.convert.dynamicid_configs import read_notes
from dynamicid_jax.convert.load import TOKENIZER_FILES
from dynamicid_jax.convert.published import DIFFUSERS, TRANSFORMERS
from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.convert.tensors import open_any, open_weights, variants
from dynamicid_jax.errors import MissingPartError, WeightsError
from dynamicid_jax.packaged import model_path
from dynamicid_jax.reproduction import sources
from dynamicid_jax.reproduction.findings import Finding, Need, problem_of
from dynamicid_jax.reproduction.inputs import Inputs


def model_findings(inputs: Inputs) -> Iterator[Finding]:
    """Everything of the model."""
    if inputs.is_converted:
        yield from _converted(model_path(inputs.checkpoint))
        return
    yield from _base(inputs)
    files = inputs.files()
    unet = inputs.base_folder
    given: tuple[tuple[str, Path | None, Need], ...] = (
        ("SAA.bin", files.adapter, "run"),
        ("IMR.bin", files.imr, "edits"),
        ("key_point_encoder.bin", files.keypoint_encoder, "edits"),
    )
    for name, file, need in given:
        problem = problem_of(partial(_see_file, file, unet))
        yield _finding(name, "--checkpoint", file, problem, sources.CHECKPOINT, need)
    problem = problem_of(partial(_see_image_encoder, files.image_encoder))
    yield _finding(
        "image encoder", "--image_encoder", files.image_encoder, problem, sources.IMAGE_ENCODER
    )


def _converted(folder: Path) -> Iterator[Finding]:
    """A model folder of ours."""
    where = str(folder)
    problem = problem_of(lambda: _see_model_folder(folder))
    yield Finding("model folder", "--checkpoint", where, problem, sources.CHECKPOINT)
    if not problem:
        edits = "" if model_folder.read_config(folder).imr else "model folder without IMR"
        yield Finding("IMR", "--checkpoint", where, edits, sources.CHECKPOINT, "edits")


def _see_model_folder(folder: Path) -> None:
    config = model_folder.read_config(folder)
    lacks = [name for name in ("adapter", "image_encoder") if getattr(config, name) is None]
    if lacks:
        raise MissingPartError(f"model folder without {' and '.join(lacks)}")
    networks = [name for name in model_folder.ON_TOP if getattr(config, name) is not None]
    files = [f"{name}.safetensors" for name in (*model_folder.BASE, *networks)]
    if gone := [name for name in files if not (folder / name).is_file()]:
        raise WeightsError(f"{folder}: lacks {', '.join(gone)}")
    model_folder.open_parts(folder, config)
    see_tokenizer(folder / model_folder.TOKENIZER)


def _base(inputs: Inputs) -> Iterator[Finding]:
    """A finding per part of the diffusers folder, or one where there is nothing of it."""
    option = "--base" if inputs.base else "--base (or in --checkpoint)"
    folder = published.base_folder(inputs.base_folder) or inputs.base_folder
    if not any((folder / name).is_dir() for name in PARTS):
        problem = f"{folder}: has none of {', '.join(f'{name}/' for name in PARTS)}"
        yield Finding("base model", option, "", problem, sources.BASE)
        return
    for name, see in PARTS.items():
        problem = problem_of(partial(see, folder / name))
        yield _finding(f"base model: {name}", option, folder / name, problem, sources.BASE)


def _see_unet(folder: Path) -> None:
    base_configs.read_unet(folder / "config.json")
    _see_weights(folder, DIFFUSERS)


def _see_vae(folder: Path) -> None:
    base_configs.read_vae(folder / "config.json")
    _see_weights(folder, DIFFUSERS)


def _see_text(folder: Path) -> None:
    clip_configs.read_text(folder / "config.json", folder.parent / "tokenizer")
    _see_weights(folder, TRANSFORMERS, "pytorch_model")


def _see_schedule(folder: Path) -> None:
    base_configs.read_schedule(folder / "scheduler_config.json")


def see_tokenizer(folder: Path) -> None:
    """Looks for a tokenizer's files.

    Raises:
        WeightsError: they are not there.
    """
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise WeightsError(f"{folder}: no tokenizer; expected vocab.json and merges.txt in it")


PARTS: dict[str, Callable[[Path], None]] = {
    "unet": _see_unet,
    "vae": _see_vae,
    "text_encoder": _see_text,
    "tokenizer": see_tokenizer,
    "scheduler": _see_schedule,
}
"""Folders of the base, and a look at each."""


def _see_image_encoder(folder: Path | None) -> None:
    if folder is None or not folder.is_dir():
        raise MissingPartError("not there" if folder is None else f"{folder}: no such folder")
    clip_configs.read_image(folder)
    _see_weights(folder, TRANSFORMERS, "pytorch_model")


def _see_file(file: Path | None, base: Path) -> None:
    """One of DynamicID's own files, and the notes beside it."""
    if file is None or not file.is_file():
        raise MissingPartError("not there")
    _see_one(file)
    if (folder := published.base_folder(base)) is not None:
        unet = folder / "unet" / "config.json"
        if not problem_of(lambda: base_configs.read_unet(unet)):
            read_notes(file, base_configs.read_unet(unet))


def _see_weights(folder: Path, stem: str, pickle_stem: str | None = None) -> None:
    """A network's weights, in the variant that would be read."""
    names = variants(stem, pickle_stem or stem)
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None or ".bin" not in found.suffixes:
        open_weights(folder, stem, pickle_stem)
        return
    files = [found]
    if found.suffix == ".json":
        shards = read_json(found).get("weight_map")
        files = [folder / str(name) for name in set(shards.values())] if shards else []
    for file in files or [found]:
        _see_one(file)


def _see_one(file: Path) -> None:
    if not file.is_file() or not file.stat().st_size:
        raise WeightsError(f"{file}: not there, or empty; fetch it again")
    if file.suffix == ".safetensors":
        open_any(file)
    elif importlib.util.find_spec("torch") is None:
        raise MissingPartError(
            f"{file}: PyTorch is needed to read it: pip install 'dynamicid-jax[convert]'"
        )


def _finding(
    what: str,
    option: str,
    path: Path | None,
    problem: str,
    where: tuple[sources.Source, ...],
    need: Need = "run",
) -> Finding:
    return Finding(what, option, "" if problem else str(path), problem, where, need)
