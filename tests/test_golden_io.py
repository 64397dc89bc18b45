"""The recorded numbers come back exactly, and the comparison with them can fail."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import golden_io
import numpy as np
import pytest
from golden_noise import normals


@pytest.fixture(scope="module")
def trim() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trim", golden_io.FOLDER / "trim.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_differs_from_the_full_recordings(trim: ModuleType, recordings: Path) -> None:
    assert trim.differences(recordings) == []


@pytest.mark.parametrize("name", golden_io.cases())
def test_every_case_has_its_checksum(name: str) -> None:
    case, meta = golden_io.load(name)  # raises where an array is not the recorded one
    assert case["out"]
    assert meta["what"]


def test_cases_are_found_by_prefix() -> None:
    assert golden_io.cases("e_") == ["e_imr_d1", "e_imr_d2"]
    assert golden_io.cases("no such case") == []


def test_strided_weights_have_the_full_shape() -> None:
    weights = golden_io.load("d_kpe_768")[0]["sd"]
    assert weights["blocks.6.1.conv_block.0.weight"].shape == (768, 512, 1, 1)
    assert weights["blocks.5.1.conv_block.0.weight"].shape == (512, 512, 3, 3)


@pytest.mark.parametrize("count", [16, 17, 31, 32, 1325, 4096])
def test_noise_is_that_of_pytorch(count: int) -> None:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(21)
    torch.randn(48, generator=generator)
    expected = torch.randn(count, generator=generator).numpy()
    np.testing.assert_allclose(normals(21, 48, count), expected, rtol=1e-5, atol=1e-6)


def test_checkpoint_is_put_together_again_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = shutil.copytree(golden_io.checkpoint, tmp_path / "unpacked" / "tiny_checkpoint")
    weights = kept / "unet" / "diffusion_pytorch_model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + b"?")
    (kept / "IMR.bin").unlink()
    monkeypatch.setattr(golden_io, "UNPACKED", kept)
    assert golden_io._checkpoint.__wrapped__() == kept
    assert weights.read_bytes() == good
    assert (kept / "IMR.bin").is_file()
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_close_returns_the_ratio() -> None:
    assert golden_io.close([1.0, -4.0], [1.0, -4.0], 0.0) == 0.0
    assert golden_io.close([1.0, -4.0], [1.2, -4.0], 0.06) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        ([1.3, -4.0], "0.075 of the largest recorded value 4"),
        ([[1.0, -4.0]], "shape"),
        ([float("nan"), -4.0], "of the result are not finite"),
    ],
)
def test_close_fails(actual: list, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        golden_io.close(actual, [1.0, -4.0], 0.05)


def test_close_needs_a_finite_recording() -> None:
    with pytest.raises(AssertionError, match="of the recording are not finite"):
        golden_io.close([1.0], [float("inf")], 1.0)
