"""Sizes beyond which a config is no network of this kind.

A config is a stranger's file, and its network is traced before its weights are compared with it: a million layers
would take for ever. The limits leave room above the largest networks of the kind (ViT-H/14: 32 layers of width 1280;
SDXL: up to 10 transformer blocks at a place, about 100 in all).
"""

import dataclasses
import math
from typing import Any

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.models.configs import ModelConfig, UNetConfig

MOST = {
    "num_layers": 64,
    "layers_per_block": 8,
    "transformer_depth": 16,
    "mid_transformer_depth": 16,
    "depth": 32,
    "disentangle_depth": 32,
    "entangle_depth": 32,
}
MOST_OTHERWISE = 1 << 20
MAX_LEVELS = 8
MAX_BLOCKS = 256  # of the UNet


def check_limits(config: ModelConfig, where: str) -> ModelConfig:
    """The config, if nothing in it is out of all proportion.

    Raises:
        WeightsError: names `where`, the key, the value and the limit.
    """
    for key, value in _leaves(config):
        if isinstance(value, float) and not math.isfinite(value):
            raise WeightsError(f"{where}: {key}: expected a finite number, got {value}")
        if isinstance(value, int):
            most = MOST.get(key.rpartition(".")[2], MOST_OTHERWISE)
            if not 0 <= value <= most:
                raise WeightsError(f"{where}: {key}: expected 0 to {most}, got {value}")
    for key, tower in (("unet", config.unet), ("vae", config.vae)):
        if len(tower.block_channels) > MAX_LEVELS:
            raise WeightsError(
                f"{where}: {key}.block_channels: expected at most {MAX_LEVELS} levels"
            )
    if _blocks(config.unet) > MAX_BLOCKS:
        raise WeightsError(
            f"{where}: unet: its transformers have {_blocks(config.unet)} blocks; at most {MAX_BLOCKS} are built"
        )
    return config


def _leaves(value: Any, key: str = "") -> list[tuple[str, Any]]:
    """Every number of a config with its dotted key; a tuple's numbers share theirs."""
    if dataclasses.is_dataclass(value):
        pairs = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return [
            leaf for name, one in pairs for leaf in _leaves(one, f"{key}.{name}" if key else name)
        ]
    if isinstance(value, tuple):
        return [leaf for one in value for leaf in _leaves(one, key)]
    return [] if isinstance(value, bool) else [(key, value)]


def _blocks(unet: UNetConfig) -> int:
    """Residual and transformer blocks on the way down; the way up has about as many."""
    levels = sum(1 + depth for depth in unet.transformer_depth)
    return unet.layers_per_block * levels + unet.mid_transformer_depth
