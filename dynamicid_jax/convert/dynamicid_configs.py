"""The configs of the published DynamicID files, read off their tensors' shapes, and written beside them.

Only IMR's heads cannot be seen there: they are 16 of 64 unless `dynamicid_config.json` beside the
files says otherwise. Whatever else that file says must agree with the shapes. Files that we wrote
have all of our own settings in it, under "model", and these are then taken as they are.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert.rules_dynamicid import attention_order
from dynamicid_jax.convert.settings import Settings
from dynamicid_jax.convert.tensors import Tensors
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    IMRConfig,
    KeypointEncoderConfig,
    ModelConfig,
    UNetConfig,
    from_dict,
    to_dict,
)

NOTES = "dynamicid_config.json"
PUBLISHED_IMR = {"heads": 16, "dim_head": 64}
OWN = "model"  # the notes' key under which our own settings stand
OWN_PARTS = ("adapter", "face_projection", "keypoint_encoder", "imr")
CONVENTIONS = ("id_channels", "reference_crop", "sampling", "weights")
COUNTER = "num_batches_tracked"


class Notes:
    """`dynamicid_config.json`, or nothing."""

    def __init__(self, path: Path, settings: Settings | None) -> None:
        self.path, self.settings = path, settings

    def get(self, key: str, inner: str | None = None) -> Any:
        """A value, None where the file does not give it."""
        value = self.settings.get(key) if self.settings else None
        if inner is None or value is None:
            return value
        if not isinstance(value, dict):
            raise WeightsError(f"{self.path}: {key} = {value!r:.80}; expected an object")
        return value.get(inner)

    def own(self) -> ModelConfig | None:
        """Our own settings of DynamicID's parts, where we wrote the files.

        Raises:
            WeightsError: they are no such settings.
        """
        values = self.get(OWN)
        return None if values is None else from_dict(ModelConfig, values, f"{self.path}: {OWN}")

    def size(self, key: str, inner: str, default: int) -> int:
        """A positive integer, or what applies where the file does not give it."""
        value = self.get(key, inner)
        if value is not None and (type(value) is not int or value < 1):
            raise WeightsError(
                f"{self.path}: {key}.{inner} = {value!r:.80}; expected a positive integer"
            )
        return default if value is None else value

    def check(self, where: str, seen: int, key: str, inner: str | None = None) -> int:
        """A size read off the shapes, which the file must not contradict.

        Raises:
            WeightsError: it does.
        """
        said = self.get(key, inner)
        if said is not None and said != seen:
            name = f"{key}.{inner}" if inner else key
            raise WeightsError(f"{self.path}: {name} = {said!r:.80}, but {where} has {seen}")
        return seen


def read_notes(file: Path, unet: UNetConfig) -> Notes:
    """The notes beside one of the files.

    Raises:
        WeightsError: unreadable, an unknown key, or an order of attentions that is not the UNet's.
    """
    path = file.parent / NOTES
    if not path.is_file():
        return Notes(path, None)
    settings = Settings(path)
    expected = [f"{name}.processor" for name, _, _ in attention_order(unet)]
    if settings.get("processor_order", expected) != expected:
        raise WeightsError(
            f"{path}: processor_order is not the UNet's; expected its {len(expected)} attentions, "
            "down, up, mid, self before cross"
        )
    known = (
        "lora_rank",
        "num_tokens",
        "id_embeddings_dim",
        "imr",
        "key_point_encoder",
        "note",
        OWN,
    )
    settings.finish({}, known)
    return Notes(path, settings)


def notes_of(config: ModelConfig) -> dict[str, Any]:
    """`dynamicid_config.json` of a model: what the shapes do not say, and all of our own settings."""
    notes: dict[str, Any] = {
        "processor_order": [f"{name}.processor" for name, _, _ in attention_order(config.unet)],
        OWN: {key: to_dict(config)[key] for key in (*OWN_PARTS, *CONVENTIONS)},
    }
    if config.adapter is not None:
        notes["lora_rank"] = config.adapter.lora_rank
    if config.face_projection is not None:
        notes["num_tokens"] = config.face_projection.tokens_per_person
        notes["id_embeddings_dim"] = config.face_projection.id_width
    if config.keypoint_encoder is not None:
        notes["key_point_encoder"] = {"embedding_dim": config.keypoint_encoder.width}
    if (imr := config.imr) is not None:
        notes["imr"] = {
            "dim": imr.width,
            "dim_head": imr.head_width,
            "heads": imr.num_heads,
            "num_queries": imr.tokens_per_person,
            "embedding_dim": imr.context_width,
            "txt_dim": imr.text_width,
            "erase_layer_num": imr.disentangle_depth,
            "drive_layer_num": imr.entangle_depth,
        }
    return notes


class _Shapes:
    """Sizes read off a checkpoint's tensors."""

    def __init__(self, tensors: Tensors) -> None:
        self.where, self.entries = tensors.where, tensors.entries

    def size(self, name: str, axis: int) -> int:
        """One axis of a tensor that the file must have."""
        entry = self.entries.get(name)
        if entry is None or len(entry.shape) <= axis:
            raise WeightsError(
                f"{self.where}: has no usable {name}; it is not the file expected here"
            )
        return entry.shape[axis]

    def ratio(self, name: str, unit: int) -> int:
        """How often `unit` goes into the first axis of a tensor."""
        size = self.size(name, 0)
        if not unit or size % unit:
            raise WeightsError(
                f"{self.where}: {name} has {size} rows, expected a multiple of {unit}"
            )
        return size // unit

    def count(self, prefix: str) -> int:
        """Length of a list of layers, at least one."""
        pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
        found = {match[1] for name in self.entries if (match := pattern.match(name))}
        if not found:
            raise WeightsError(f"{self.where}: has no {prefix}; it is not the file expected here")
        return len(found)


def read_adapter(tensors: Tensors, notes: Notes) -> tuple[AdapterConfig, FaceProjectionConfig]:
    """SAA.bin: rank of the adapter, and the face projection's sizes.

    Raises:
        WeightsError: not such a file, or contradicted by the notes.
    """
    own = notes.own()
    if own is not None and own.adapter is not None and own.face_projection is not None:
        return own.adapter, own.face_projection
    shapes, where = _Shapes(tensors), tensors.where
    rank = shapes.size("SAA_module.0.to_q_lora.down.weight", 0)
    context_width = shapes.size("proj_module.norm.weight", 0)
    tokens = shapes.ratio("proj_module.proj.2.weight", context_width)
    id_width = shapes.size("proj_module.proj.0.weight", 1)
    projection = FaceProjectionConfig(
        id_width=notes.check(where, id_width, "id_embeddings_dim"),
        image_width=shapes.size("proj_module.perceiver_resampler.proj_in.weight", 1),
        context_width=context_width,
        tokens_per_person=notes.check(where, tokens, "num_tokens"),
        depth=shapes.count("proj_module.perceiver_resampler.layers"),
    )
    return AdapterConfig(lora_rank=notes.check(where, rank, "lora_rank")), projection


def read_keypoint_encoder(tensors: Tensors, notes: Notes) -> KeypointEncoderConfig:
    """key_point_encoder.bin: the width of its feature and of its stem.

    Raises:
        WeightsError: as `read_adapter`.
    """
    own = notes.own()
    if own is not None and own.keypoint_encoder is not None:
        return own.keypoint_encoder
    shapes = _Shapes(tensors)
    width = shapes.size("blocks.6.1.conv_block.0.weight", 0)
    return KeypointEncoderConfig(
        width=notes.check(tensors.where, width, "key_point_encoder", "embedding_dim"),
        stem_channels=shapes.size("blocks.0.0.conv_block.0.weight", 0),
        batches_tracked=_count(tensors),
    )


def _count(tensors: Tensors) -> int:
    """Batches that the norms have seen; all of them count alike."""
    found = {
        path: {name: at for name, at in entries.items() if name.endswith(COUNTER)}
        for path, entries in tensors.files.items()
    }
    counts = [int(np.max(array)) for _, array in Tensors(tensors.where, found).read()]
    return max(counts, default=0)


def read_imr(tensors: Tensors, notes: Notes, text_width: int) -> IMRConfig:
    """IMR.bin: its sizes; `text_width` splits the motion net's input into text and keypoints.

    Raises:
        WeightsError: as `read_adapter`; also where the heads do not fit the shapes.
    """
    own = notes.own()
    if own is not None and own.imr is not None:
        return own.imr
    shapes, where = _Shapes(tensors), tensors.where
    width, context_width = (shapes.size("proj_in.weight", axis) for axis in (0, 1))
    heads = {key: notes.size("imr", key, value) for key, value in PUBLISHED_IMR.items()}
    inner = shapes.size("disentangleNet.0.0.to_q.weight", 0)
    if heads["heads"] * heads["dim_head"] != inner:
        raise WeightsError(
            f"{where}: its attentions are {inner} wide, not {heads['heads']} heads of "
            f"{heads['dim_head']}; give imr.heads and imr.dim_head in {notes.path}"
        )
    tokens = shapes.ratio("feature_fusion.4.weight", width)
    return IMRConfig(
        width=notes.check(where, width, "imr", "dim"),
        num_heads=heads["heads"],
        head_width=heads["dim_head"],
        tokens_per_person=notes.check(where, tokens, "imr", "num_queries"),
        context_width=notes.check(where, context_width, "imr", "embedding_dim"),
        keypoint_width=shapes.size("feature_fusion.0.weight", 0) - text_width,
        text_width=notes.check(where, text_width, "imr", "txt_dim"),
        disentangle_depth=notes.check(
            where, shapes.count("disentangleNet"), "imr", "erase_layer_num"
        ),
        entangle_depth=notes.check(where, shapes.count("entangleNet"), "imr", "drive_layer_num"),
        null_keypoint="null_keypoint" in shapes.entries,
    )
