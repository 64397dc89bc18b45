"""One door to every kind of model on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dynamicid_jax.convert import model_folder, published
from dynamicid_jax.convert.int8 import INT8
from dynamicid_jax.convert.limits import check_limits
from dynamicid_jax.convert.links import check_links
from dynamicid_jax.convert.parts import Place, Progress, load_parts, parse_dtype
from dynamicid_jax.convert.published import Files
from dynamicid_jax.convert.safety_checker import find_safety_checker
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.packaged import model_path
from dynamicid_jax.types import Params

TOKENIZER_FILES = (("vocab.json", "merges.txt"), ("tokenizer.json",))  # either pair or single file


class Loaded(NamedTuple):
    """A model in memory.

    Attributes:
        config: the networks' shapes and the model's conventions.
        weights: {component: nested parameters}.
        tokenizer_dir: a transformers CLIP tokenizer folder.
        face_pack_dir: the model's own face pack, where it has one.
    """

    config: ModelConfig
    weights: Params
    tokenizer_dir: Path
    face_pack_dir: Path | None


def load_any(
    path: str | Path,
    *,
    adapter: str | Path | None = None,
    imr: str | Path | None = None,
    keypoint_encoder: str | Path | None = None,
    image_encoder: str | Path | None = None,
    dtype: Any = None,
    place: Place = jax.device_put,
    progress: Progress | None = None,
) -> Loaded:
    """Loads our own model folder, the published layout, or "mini".

    Args:
        path: a folder, or "mini" for the packaged model (a folder of that name is `./mini`).
        adapter: SAA.bin, instead of the model's own; or a folder, whose every network goes on top of this model's
            base: an adapter folder, another model folder, or one with SAA.bin and its like.
        imr: IMR.bin, likewise.
        keypoint_encoder: key_point_encoder.bin, likewise.
        image_encoder: a CLIP vision folder, likewise.
        dtype: what to cast the weights to; None keeps what is stored (8-bit weights become float32).
        place: makes the final arrays (see `parts.load_parts`).
        progress: is told about every tensor read.

    Raises:
        InputError: no such folder, or neither kind of model.
        WeightsError: a model that is damaged, not whole, or not supported.
        MissingPartError: PyTorch is needed to read a .bin file, and is missing.
    """
    given = Files(*(_file(value) for value in (adapter, imr, keypoint_encoder, image_encoder)))
    given, shared = _opened_folder(given)
    root = _folder(path)
    if model_folder.is_model_folder(root):
        check_links(root)
        base = root
        config = model_folder.read_config(root)
        parts = model_folder.open_parts(root, _without(config, given, shared))
        files = given
    else:
        found = published.base_folder(root)
        if found is None:
            raise InputError(
                f"{path}: not a model; expected a folder with model.json, or a diffusers folder "
                "(unet/, vae/, ...) with SAA.bin beside it"
            )
        base = found
        config, parts = published.read_base(base)
        files = given if shared else given.found_beside(root)
    if shared is not None:
        fields = model_folder.read_shared(shared)
        on_top = _without(replace(ModelConfig(), **fields), given)
        parts += model_folder.open_parts(shared, on_top, base=False)
        config = replace(_without(config, given, shared), **fields)
    config, more = published.add_dynamicid(config, files)
    _check_widths(check_limits(config, str(root)), root)
    tokenizer = _tokenizer(base)
    wanted = parse_dtype(dtype)
    if wanted is not None:
        config = replace(config, dtype=wanted.name)  # type: ignore[arg-type]
    elif config.dtype == INT8:
        config = replace(config, dtype="float32")  # as the arrays are that 8-bit weights become
    weights = load_parts(config, [*parts, *more], dtype, place, progress)
    packs = [folder / model_folder.FACE_PACK for folder in (shared or root, root)]
    return Loaded(config, weights, tokenizer, next(filter(Path.is_dir, packs), None))


def _opened_folder(given: Files) -> tuple[Files, Path | None]:
    """What an adapter that is a folder stands for: published files in it, or a folder of our own.

    Raises:
        InputError: a folder with neither.
    """
    folder = given.adapter
    if folder is None or not folder.is_dir():
        return given, None
    given = replace(given, adapter=None)
    if model_folder.is_adapter_folder(folder):
        return given, folder
    found = given.found_beside(folder)
    if found.adapter is None:
        raise InputError(
            f"{folder}: no adapter in it; expected {model_folder.ADAPTER_JSON}, {model_folder.MODEL_JSON} or SAA.bin"
        )
    return found, None


def own_face_pack(path: str | Path) -> Path | None:
    """The face pack in a model's folder, without loading the model; None where it has none.

    Raises:
        InputError: no such folder.
    """
    folder = _folder(path) / model_folder.FACE_PACK
    return folder if folder.is_dir() else None


def own_safety_checker(path: str | Path) -> Path | None:
    """The safety checker in a model's folder, None where it has none.

    Raises:
        InputError: no such folder.
    """
    root = _folder(path)
    own = model_folder.is_model_folder(root)
    return find_safety_checker(root if own else published.base_folder(root) or root)


def _file(value: str | Path | None) -> Path | None:
    if value is None:
        return None
    path = Path(value).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return path


def _folder(path: str | Path) -> Path:
    root = model_path(path)
    if not root.is_dir():
        what = "a file" if root.exists() else "no such folder"
        raise InputError(
            f"{path}: {what}; expected a model folder (model.json), or a diffusers folder"
        )
    return root


def _without(config: ModelConfig, given: Files, shared: Path | None = None) -> ModelConfig:
    """The config without the parts that are to be replaced: by files, or by a folder with another adapter.

    What was trained on top of the old adapter goes with it; an image encoder belongs to nobody.
    """
    gone = set() if shared is None else set(model_folder.ON_TOP) - {"image_encoder"}
    if shared is not None:
        gone |= set(model_folder.read_shared(shared))
    if given.adapter is not None:
        gone |= {"adapter", "face_projection"}
    for name in ("imr", "keypoint_encoder", "image_encoder"):
        if getattr(given, name) is not None:
            gone.add(name)
    return replace(config, **dict.fromkeys(gone & set(model_folder.ON_TOP)))  # type: ignore[arg-type]


def _tokenizer(base: Path) -> Path:
    folder = base / model_folder.TOKENIZER
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise WeightsError(f"{folder}: no tokenizer; expected vocab.json and merges.txt in it")
    return folder


def _check_widths(config: ModelConfig, root: Path) -> None:
    """Networks that pass arrays to each other must agree about their widths.

    Raises:
        WeightsError: they do not; the message names both sides.
    """
    context = ("the UNet's context", config.unet.context_width)
    pairs = [
        (("the text encoder", config.text_encoder.width), context),
        (("the VAE's latents", config.vae.latent_channels), ("the UNet", config.unet.in_channels)),
    ]
    if config.face_projection is not None:
        projection = config.face_projection
        pairs.append((("the face projection", projection.context_width), context))
        if config.image_encoder is not None:
            images = ("the image encoder", config.image_encoder.width)
            pairs.append((("the face projection's images", projection.image_width), images))
    if config.imr is not None:
        imr = config.imr
        pairs.append((("IMR", imr.context_width), context))
        pairs.append(
            (("IMR's text", imr.text_width), ("the text encoder", config.text_encoder.width))
        )
        if config.keypoint_encoder is not None:
            keypoints = ("the keypoint encoder", config.keypoint_encoder.width)
            pairs.append((("IMR's keypoint feature", imr.keypoint_width), keypoints))
        if config.face_projection is not None:
            tokens = ("the face projection's tokens", config.face_projection.tokens_per_person)
            pairs.append((("IMR's tokens", imr.tokens_per_person), tokens))
    for (one, one_width), (other, other_width) in pairs:
        if one_width != other_width:
            raise WeightsError(
                f"{root}: {one} has {one_width}, {other} has {other_width}; "
                "these files are not of one model"
            )
