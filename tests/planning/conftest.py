"""A model small enough that its training step compiles in seconds."""

import json
from pathlib import Path

import pytest

from dynamicid_jax.inference.random_model import tiny_config
from dynamicid_jax.models.configs import ModelConfig, from_dict, to_dict

SMALLER = {
    "unet": {
        "block_channels": (8, 16),
        "transformer_depth": (1, 0),
        "mid_transformer_depth": 0,
        "num_heads": (2, 2),
        "layers_per_block": 1,
        "context_width": 16,
        "norm_groups": 4,
    },
    "text_encoder": {"width": 16, "num_heads": 2, "mlp_width": 32},
    "face_projection": {"context_width": 16, "head_width": 8, "depth": 1},
    "keypoint_encoder": {"width": 16},
    "imr": {"context_width": 16, "keypoint_width": 16, "text_width": 16},
    "vae": {"block_channels": (4, 4, 4, 4), "norm_groups": 2},
}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON file that `random_base` takes."""
    values = to_dict(tiny_config())
    for part, changes in SMALLER.items():
        values[part] |= changes
    path = tmp_path_factory.mktemp("model") / "small.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    from_dict(ModelConfig, json.loads(path.read_text()))
    return path


@pytest.fixture(scope="session")
def recipe(small_model: Path) -> Path:
    """A recipe for it."""
    path = small_model.parent / "recipe.py"
    path.write_text(
        f"""
from dynamicid_jax.config import TrainConfig, to_config_dict

def get_config():
    config = to_config_dict(TrainConfig(random_base={str(small_model)!r}, dtype="float32"))
    config.data.image_size = 64
    return config
""",
        encoding="utf-8",
    )
    return path
