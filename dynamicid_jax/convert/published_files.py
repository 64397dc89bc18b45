"""Writes what published.py reads: a diffusers folder, DynamicID's files beside it, and CLIP's vision folder.

SAA.bin, IMR.bin, key_point_encoder.bin are what the published modules load; the same names with .safetensors hold the
same tensors. A learned "no raster" feature of IMR, which the published module lacks, is in IMR.safetensors alone.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert import base_json, tensors
from dynamicid_jax.convert.dynamicid_configs import COUNTER, NOTES, notes_of
from dynamicid_jax.convert.engine import to_torch
from dynamicid_jax.convert.model_folder import TOKENIZER
from dynamicid_jax.convert.published import (
    ADAPTER,
    DIFFUSERS,
    IMR,
    KEYPOINT_ENCODER,
    TRANSFORMERS,
)
from dynamicid_jax.convert.rules import Table
from dynamicid_jax.convert.rules_clip import IMAGE_RULES, TEXT_RULES
from dynamicid_jax.convert.rules_dynamicid import IMR_RULES, KEYPOINT_RULES, saa_rules
from dynamicid_jax.convert.rules_unet import unet_rules
from dynamicid_jax.convert.rules_vae import VAE_RULES
from dynamicid_jax.files import copy_folder, save_json
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.trees import flatten
from dynamicid_jax.types import Params

State = dict[str, np.ndarray]
METADATA = {"format": "pt"}  # transformers refuses files without it
OURS_ALONE = "null_keypoint"


def base_states(config: ModelConfig, weights: Mapping[str, Any]) -> dict[str, State]:
    """State dicts of a diffusers folder, by file."""
    return {
        f"unet/{DIFFUSERS}.safetensors": _state(unet_rules(config.unet), weights, "unet"),
        f"vae/{DIFFUSERS}.safetensors": _state(VAE_RULES, weights, "vae"),
        f"text_encoder/{TRANSFORMERS}.safetensors": _state(TEXT_RULES, weights, "text_encoder"),
    }


def dynamicid_states(config: ModelConfig, weights: Mapping[str, Any]) -> dict[str, State]:
    """State dicts of DynamicID's files, by stem; those whose networks the model has."""
    states = {}
    if config.adapter is not None:
        saa = _state(saa_rules(config.unet), weights, "face_projection", "adapter")
        states[ADAPTER] = saa
    if config.imr is not None:
        states[IMR] = _state(IMR_RULES, weights, "imr")
    if (encoder := config.keypoint_encoder) is not None:
        state = _state(KEYPOINT_RULES, weights, "keypoint_encoder", "keypoint_stats")
        for name in (name for name in state if name.endswith(COUNTER)):
            state[name] = np.asarray(encoder.batches_tracked, np.int64)
        states[KEYPOINT_ENCODER] = state
    return states


def _state(table: Table, weights: Mapping[str, Any], *components: str) -> State:
    return to_torch(table, flatten({name: weights[name] for name in components}))


def write_base(
    folder: Path, config: ModelConfig, weights: Mapping[str, Any], tokenizer: Path
) -> None:
    """A diffusers folder.

    Raises:
        ExportError: a UNet that diffusers' config cannot describe.
        OutputError: it cannot be written.
    """
    _write_json(folder, base_json.base_files(config))
    for name, state in base_states(config, weights).items():
        tensors.write(folder / name, state, METADATA)
    copy_folder(tokenizer, folder / TOKENIZER)


def write_image_encoder(folder: Path, config: ModelConfig, weights: Mapping[str, Any]) -> None:
    """A CLIP vision folder.

    Raises:
        OutputError: it cannot be written.
    """
    if config.image_encoder is None:
        return
    _write_json(folder, base_json.image_files(config.image_encoder))
    state = _state(IMAGE_RULES, weights, "image_encoder")
    tensors.write(folder / f"{TRANSFORMERS}.safetensors", state, METADATA)


def write_dynamicid(folder: Path, config: ModelConfig, states: Mapping[str, State]) -> None:
    """DynamicID's files in both forms, and what their shapes do not say.

    Raises:
        ModuleNotFoundError: PyTorch is missing.
        OutputError: they cannot be written.
    """
    for stem, state in states.items():
        tensors.write(folder / f"{stem}.safetensors", state, METADATA)
        write_pickle(folder / f"{stem}.bin", state)
    save_json(notes_of(config), folder / NOTES)


def write_pickle(path: Path, state: Mapping[str, np.ndarray]) -> None:
    """A state dict as the published modules load it: PyTorch's own form, SAA.bin in two nested parts.

    Raises:
        ModuleNotFoundError: PyTorch is missing.
        OutputError: it cannot be written.
    """
    import torch

    made: Params = {}
    for name, array in state.items():
        if name == OURS_ALONE:
            continue
        part, _, rest = name.partition(".") if path.stem == ADAPTER else ("", "", name)
        level = made.setdefault(part, {}) if part else made
        level[rest] = _tensor(torch, array)
    tensors.guarded(path, lambda: torch.save(made, path))


def _tensor(torch: Any, array: np.ndarray) -> Any:
    """A tensor of the same bytes; NumPy's bfloat16 is not PyTorch's."""
    array = np.array(array)  # writable, as PyTorch wants it
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _write_json(folder: Path, files: Mapping[str, Any]) -> None:
    for name, values in files.items():
        path = folder / name
        tensors.guarded(path.parent, partial(path.parent.mkdir, parents=True, exist_ok=True))
        save_json(values, path)
