"""What comes with the package: small enough, where a wheel puts it, and able to draw the demo."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from built_wheel import build_wheel
from PIL import Image

from dynamicid_jax import DynamicIDPipeline, packaged
from dynamicid_jax.evaluation import judges
from dynamicid_jax.world.cast import CAST, write_cast

ALL_BYTES, FILE_BYTES = 24_000_000, 16_000_000
NO_MINI = "the mini model is not here yet (dynamicid_jax/assets/mini)"


def files() -> dict[Path, int]:
    found = (path for path in packaged.ASSETS.rglob("*") if path.is_file())
    return {path.relative_to(packaged.ASSETS): path.stat().st_size for path in found}


def test_assets_are_small() -> None:
    sizes = files()
    assert {path: size for path, size in sizes.items() if size >= FILE_BYTES} == {}
    assert 0 < sum(sizes.values()) <= ALL_BYTES


def test_photos_are_the_casts() -> None:
    assert packaged.photos().keys() == CAST.keys()
    for path in packaged.photos().values():
        with Image.open(path) as photo:
            assert (photo.size, photo.mode) == ((256, 256), "RGB")


@pytest.mark.slow
def test_photos_can_be_drawn_again(tmp_path: Path) -> None:
    for path in write_cast(tmp_path):
        with Image.open(path) as new, Image.open(packaged.photos()[path.stem]) as old:
            off = np.abs(np.asarray(new, np.int16) - np.asarray(old, np.int16))
        assert (off > 2).mean() < 0.001, path.stem


def test_mini_is_whole() -> None:
    """A model with every part, a face pack with judges, a card; nothing else."""
    folder = packaged.mini_folder()
    if folder is None:
        pytest.skip(NO_MINI)
    assert (folder / "README.md").is_file()
    assert (folder / "face_pack" / judges.FOLDER / judges.MOTION).is_file()
    kinds = {path.suffix for path in files()}
    assert kinds <= {".json", ".safetensors", ".onnx", ".txt", ".md", ".png"}
    pipe = DynamicIDPipeline.from_pretrained("mini")
    assert pipe.config.weights == "trained"
    assert pipe.face_pack is not None
    for part in ("image_encoder", "face_projection", "keypoint_encoder", "imr"):
        assert getattr(pipe.config, part) is not None, part


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, and everything else from this one; its `dynamicid`."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build_wheel(folder)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *install, str(wheel)], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # A folder named here is searched after `site` itself, and its own .pth files (of editable installs) are not read.
    (site / "everything_else.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.with_name("dynamicid")


def run(command: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH and the tests' own compiler options are not a user's.
    own = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")
    }
    return subprocess.run(
        [str(command), *arguments], cwd=cwd, env=own, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_wheel_draws_the_demo_from_anywhere(installed: Path, tmp_path: Path) -> None:
    """By the mini model, or without it by random weights."""
    code = "import dynamicid_jax.packaged as p; print(p.ASSETS, len(p.photos()))"
    where = run(installed.with_name("python"), "-c", code, cwd=tmp_path)
    assert where.stdout.startswith(str(installed.parents[1])), where.stderr
    assert where.stdout.split()[-1] == str(len(CAST))
    done = run(installed, "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pictures sampled in" in done.stderr
    written = sorted(path.name for path in tmp_path.iterdir())
    assert {"demo.png", "demo-gate_maps.png"} <= set(written)
    if packaged.mini_folder() is None:
        assert "comes without the mini model" in done.stderr
        pytest.skip(NO_MINI)
    assert "RANDOM" not in done.stderr
    assert {"demo-grid.png", "demo-overview.png"} <= set(written)
