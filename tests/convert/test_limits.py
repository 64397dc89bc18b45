"""Configs out of all proportion are refused before a network is traced."""

from dataclasses import replace
from typing import Any

import pytest

from dynamicid_jax.convert.limits import check_limits
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.inference.random_model import mini_config, nano_config, sd15_config, tiny_config
from dynamicid_jax.models.configs import ModelConfig, from_dict


@pytest.mark.parametrize("config", [sd15_config(), mini_config(), tiny_config(), nano_config()])
def test_our_own_models_are_within(config: ModelConfig) -> None:
    assert check_limits(config, "model.json") is config


def test_sdxl_would_be_within() -> None:
    sdxl = replace(
        sd15_config().unet,
        block_channels=(320, 640, 1280),
        transformer_depth=(0, 2, 10),
        num_heads=(5, 10, 20),
        mid_transformer_depth=10,
    )
    check_limits(ModelConfig(unet=sdxl), "model.json")


@pytest.mark.parametrize(
    ("part", "changes", "match"),
    [
        ("text_encoder", {"num_layers": 12_000}, "text_encoder.num_layers: expected 0 to 64"),
        ("image_encoder", {"width": -1280}, "image_encoder.width: expected 0 to"),
        ("unet", {"transformer_depth": (16, 16, 16, 16), "layers_per_block": 8}, "545 blocks"),
        ("unet", {"block_channels": (8,) * 9}, "at most 8 levels"),
    ],
)
def test_what_is_out_of_proportion(part: str, changes: dict[str, Any], match: str) -> None:
    config = sd15_config()
    config = replace(config, **{part: replace(getattr(config, part), **changes)})
    with pytest.raises(WeightsError, match=match):
        check_limits(config, "model.json")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_numbers_that_json_can_hold_and_no_network_uses(number: Any) -> None:
    values = {"vae": {"scaling_factor": number}}
    with pytest.raises(WeightsError, match=r"vae: scaling_factor: expected"):
        from_dict(ModelConfig, values)
