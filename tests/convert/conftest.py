"""Copies of the tiny checkpoint that tests may change."""

import shutil
from pathlib import Path

import pytest

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
