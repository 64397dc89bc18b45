"""One small model with random weights for every form of export."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.inference.random_model import write_random_model

Export = Callable[..., int]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("random") / "model", "nano")


@pytest.fixture(scope="session")
def export() -> Export:
    """`dynamicid export` of a model to a folder."""

    def run(source: Path | str, out: Path, *more: str) -> int:
        return main(["export", "--model", str(source), "--out", str(out), *more])

    return run


@pytest.fixture(scope="session")
def diffusers_folder(model: Path, tmp_path_factory: pytest.TempPathFactory, export: Export) -> Path:
    """That model for diffusers."""
    out = tmp_path_factory.mktemp("diffusers") / "out"
    assert export(model, out, "--to", "diffusers") == 0
    return out
