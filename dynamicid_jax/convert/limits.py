"""Sizes beyond which a config is no network of this kind.

A config is a stranger's file, and its network is traced before its weights are compared with it: a million layers
would take for ever. The limits leave room above the largest networks of the kind (ViT-H/14: 32 layers of width 1280;
SDXL: up to 10 transformer blocks at a place, about 100 in all).
"""

import dataclasses
from typing import Any, TypeVar

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


T = TypeVar("T")


def check_limits(config: T, where: str) -> T:
    """The config of a model or of one network, if nothing in it is out of all proportion.

    Raises:
        WeightsError: names `where`, the key, the value and the limit.
    """
    for key, value in _leaves(config):
        if isinstance(value, int):
            most = MOST.get(key.rpartition(".")[2], MOST_OTHERWISE)
            if not 0 <= value <= most:
                raise WeightsError(f"{where}: {key}: expected 0 to {most}, got {value}")
    if isinstance(config, ModelConfig):
        _check_towers(config, where)
    return config


def _check_towers(config: ModelConfig, where: str) -> None:
    for key, levels in (("unet", config.unet.block_channels), ("vae", config.vae.block_channels)):
        if len(levels) > MAX_LEVELS:
            raise WeightsError(
                f"{where}: {key}.block_channels: expected at most {MAX_LEVELS} levels"
            )
    blocks = _blocks(config.unet)
    if blocks > MAX_BLOCKS:
        raise WeightsError(
            f"{where}: unet: its transformers have {blocks} blocks; at most {MAX_BLOCKS} are built"
        )


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
