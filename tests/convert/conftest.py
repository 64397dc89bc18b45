"""Copies of the tiny checkpoint that tests may change, and a model folder of our own."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.expected import expected_shapes
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    ImageEncoderConfig,
    IMRConfig,
    KeypointEncoderConfig,
    ModelConfig,
    TextEncoderConfig,
    UNetConfig,
    VAEConfig,
)
from dynamicid_jax.trees import nest

BASE = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json")


def copy(source: Path, target: Path, names: tuple[str, ...]) -> Path:
    """Copies files and folders, writable."""
    target.mkdir(exist_ok=True)
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=shutil.copyfile)
            for folder in [target / name, *(target / name).rglob("*/")]:
                folder.chmod(0o755)
        else:
            shutil.copyfile(source / name, target / name)
    return target


@pytest.fixture
def base(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The diffusers folder alone; reading it needs no PyTorch."""
    return copy(tiny_checkpoint, tmp_path / "base", BASE)


@pytest.fixture
def published(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """Everything; reading it needs PyTorch."""
    pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads SAA.bin and the like")
    names = (
        "image_encoder",
        "SAA.bin",
        "IMR.bin",
        "key_point_encoder.bin",
        "dynamicid_config.json",
    )
    return copy(tiny_checkpoint, tmp_path / "published", BASE + names)


# Every part, as small as it goes.
CONFIG = ModelConfig(
    unet=UNetConfig(
        block_channels=(8, 8),
        transformer_depth=(1, 0),
        num_heads=(2, 2),
        layers_per_block=1,
        context_width=8,
        norm_groups=4,
    ),
    vae=VAEConfig(block_channels=(4, 4), layers_per_block=1, norm_groups=2),
    text_encoder=TextEncoderConfig(16, 8, 1, 2, 8, 7, eot_token_id=15),
    image_encoder=ImageEncoderConfig(8, 2, 2, 8, 14, 28, 4),
    adapter=AdapterConfig(lora_rank=2),
    face_projection=FaceProjectionConfig(8, 8, 8, 4, 1, 4),
    keypoint_encoder=KeypointEncoderConfig(8),
    imr=IMRConfig(8, 2, 4, 4, 8, 8, 8, null_keypoint=True),
)


@pytest.fixture(scope="session")
def small_config() -> ModelConfig:
    return CONFIG


@pytest.fixture(scope="session")
def weights() -> dict[str, Any]:
    generator = np.random.default_rng(0)

    def draw(leaf: Any) -> np.ndarray:
        return generator.standard_normal(leaf.shape).astype(np.float32)

    shapes = expected_shapes(CONFIG)
    return {
        name: nest({p: draw(leaf) for p, leaf in part.items()}) for name, part in shapes.items()
    }


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tok"
    folder.mkdir()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


@pytest.fixture
def saved(tmp_path: Path, weights: dict[str, Any], tokenizer: Path) -> Path:
    folder = tmp_path / "model"
    model_folder.save(folder, CONFIG, weights, tokenizer)
    return folder
