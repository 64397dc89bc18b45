"""A model in the published layout (METHOD section 10), so that the published PyTorch code loads it.

OUT/SAA.bin, IMR.bin, key_point_encoder.bin       the published files, and the same names with .safetensors
OUT/dynamicid_config.json                         what their shapes do not say, and our own settings
OUT/image_encoder/                                CLIP vision folder
OUT/unet/, vae/, text_encoder/, tokenizer/, ...   the base as a diffusers folder, unless left out

A checkpoint that came in this layout comes out with the same bytes in every tensor.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert import published_files, tensors
from dynamicid_jax.convert.load import Loaded, load_any
from dynamicid_jax.convert.model_folder import staged
from dynamicid_jax.convert.published import (
    ADAPTER,
    DIFFUSERS,
    IMR,
    KEYPOINT_ENCODER,
    TRANSFORMERS,
)
from dynamicid_jax.errors import ExportError, MissingPartError
from dynamicid_jax.export.compare import check, output_changes, tensor_differences
from dynamicid_jax.export.report import Row, finish, line, row
from dynamicid_jax.models.configs import AdapterConfig, KeypointEncoderConfig, ModelConfig
from dynamicid_jax.models.lora import with_factor_one
from dynamicid_jax.trees import flatten

NETWORKS = {ADAPTER: "adapter", IMR: "imr", KEYPOINT_ENCODER: "keypoint_encoder"}
BESIDE = {
    "unet": f"unet/{DIFFUSERS}.safetensors",
    "vae": f"vae/{DIFFUSERS}.safetensors",
    "text_encoder": f"text_encoder/{TRANSFORMERS}.safetensors",
    "image_encoder": f"image_encoder/{TRANSFORMERS}.safetensors",
}


def export_published(
    model: str | Path,
    out: Path,
    *,
    adapter_only: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Row]:
    """Writes the published layout; weights keep the dtype that they are stored in (8-bit ones become float32).

    Args:
        model: whatever `load_any` reads.
        out: the folder; its parent must exist.
        adapter_only: leave out the base, which is then to be had elsewhere.
        overwrite: replace what an export wrote there.
        say: is told each file.

    Returns:
        {file: {"file", "bytes", "difference", "tensors", "outputs"}}.

    Raises:
        InputError, WeightsError: a model that cannot be read.
        MissingPartError: a model without an adapter.
        ModuleNotFoundError: PyTorch (extra `convert`), which writes .bin files, is missing.
        ExportError: what was written is not what was to be.
        OutputError: a folder that cannot be written.
    """
    import torch  # noqa: F401  before any work is done

    with staged(out, overwrite) as folder:
        loaded = load_any(model, place=np.asarray)
        if loaded.config.adapter is None:
            raise MissingPartError(
                f"{model}: has no adapter, and SAA.bin is one; --to diffusers writes a base by itself"
            )
        adapter, config = with_factor_one(loaded.weights["adapter"], loaded.config.adapter)
        loaded = loaded._replace(
            config=replace(loaded.config, adapter=config),
            weights={**loaded.weights, "adapter": adapter},
        )
        folder.mkdir()
        states = published_files.dynamicid_states(loaded.config, loaded.weights)
        if not adapter_only:
            published_files.write_base(folder, *loaded[:3])
        published_files.write_image_encoder(folder / "image_encoder", *loaded[:2])
        published_files.write_dynamicid(folder, loaded.config, states)
        read = load_any(model, adapter=folder) if adapter_only else load_any(folder)
        rows = _verified(folder, loaded, read, states)
        for name, told in rows.items():
            say(line(f"{out / name}", told))
        notes = departures(loaded.config)
        for note in notes:
            say(f"note: {note}")
        return finish(folder, out, "published", model, loaded, rows, notes)


def _verified(
    folder: Path, before: Loaded, after: Loaded, states: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Row]:
    """Every file read back: tensors by their published names, outputs of the networks that come from it."""
    check_configs(before.config, after.config)
    whole = tensor_differences(flatten(before.weights), flatten(after.weights), "published")
    check(whole, 0.0, "published")
    moved = output_changes((before.config, before.weights), (after.config, after.weights))
    rows = {}
    for stem, state in states.items():
        outputs = moved[NETWORKS[stem]].outputs
        for kind in (".safetensors", ".bin"):
            path = folder / f"{stem}{kind}"
            kept = dict(state)
            if kind == ".bin":
                kept.pop(published_files.OURS_ALONE, None)
            found = tensor_differences(kept, dict(tensors.open_any(path).read()), path.name)
            check(found, 0.0, path.name)
            rows[path.name] = row(path, found, outputs)
    for name, file in BESIDE.items():
        if (folder / file).is_file():
            found = {key: value for key, value in whole.items() if key.startswith(f"{name}/")}
            rows[file] = {**row(folder / file, found, moved[name].outputs), "file": file}
    return rows


def check_configs(before: ModelConfig, after: ModelConfig) -> None:
    """Whether a model read back has the settings that it was written with.

    Raises:
        ExportError: it has not; a defect of ours or of the disk.
    """
    for name, value in vars(before).items():
        if name != "dtype" and getattr(after, name) != value:
            raise ExportError(
                f"export: {name} was {value} and is read back as {getattr(after, name)}; nothing was written"
            )


def departures(config: ModelConfig) -> list[str]:
    """What the published code has built in and this model does differently; a line for each."""
    found: list[tuple[str, Any, Any]] = [
        ("id_channels", config.id_channels, "rgb"),
        ("reference_crop", config.reference_crop, "none"),
    ]
    if config.adapter is not None:
        threshold = AdapterConfig().gate_threshold
        found.append(("gate_threshold", config.adapter.gate_threshold, threshold))
    if config.face_projection is not None:
        found.append(("face projection's head width", config.face_projection.head_width, 64))
    if config.imr is not None:
        found.append(("IMR's motion", config.imr.motion, "both"))
        if config.imr.null_keypoint:
            found.append(("null_keypoint", "in IMR.safetensors only", "nothing like it"))
    if config.keypoint_encoder is not None:
        published = KeypointEncoderConfig()
        for name in ("stem_channels", "num_landmarks"):
            found.append((name, getattr(config.keypoint_encoder, name), getattr(published, name)))
    return [
        f"{name}: {ours}; the published code has {theirs}"
        for name, ours, theirs in found
        if ours != theirs
    ]
