"""`dynamicid export --to model`: smaller folders, and how far outputs move."""

import json
from pathlib import Path

import numpy as np
import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.export.model import differences
from dynamicid_jax.inference.random_model import write_random_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("random") / "model", "nano")


def export(model: Path | str, out: Path, *more: str) -> int:
    return main(["export", "--model", str(model), "--out", str(out), *more])


def test_dtypes_differ_in_bytes_and_in_outputs(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = {}
    for dtype in ("float32", "bfloat16", "int8"):
        file = tmp_path / f"{dtype}.json"
        more = ("--to", "model", "--dtype", dtype, "--json", str(file))
        assert export(model, tmp_path / dtype, *more) == 0
        reports[dtype] = json.loads(file.read_text())
    told = capsys.readouterr()
    assert "outputs move by" in told.out
    assert f"{tmp_path / 'int8'}: 8 networks" in told.err
    for part, whole in reports["float32"].items():
        assert whole["difference"] == 0, part
        assert 0 < reports["bfloat16"][part]["difference"] < 0.05, part
        assert 0 < reports["int8"][part]["difference"] < 0.1, part
    sizes = {name: sum(p["bytes"] for p in one.values()) for name, one in reports.items()}
    assert (
        sizes["int8"] < 0.45 * sizes["float32"]
    )  # names and scales weigh much in so small a model
    assert load_any(tmp_path / "int8").config.dtype == "float32"


def test_bfloat16_is_the_default_and_a_pack_goes_in(model: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    (pack / "judges").mkdir(parents=True)
    (pack / "net.onnx").write_bytes(b"net")
    (pack / "judges" / "judge.onnx").write_bytes(b"judge")
    out = tmp_path / "out"
    assert export(model, out, "--to", "model", "--face_pack", str(pack)) == 0
    assert json.loads((out / "model.json").read_text())["dtype"] == "bfloat16"
    assert (out / "face_pack" / "judges" / "judge.onnx").read_bytes() == b"judge"
    loaded = load_any(out)
    assert loaded.face_pack_dir == out / "face_pack"


def test_what_cannot_be_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = [
        (("--to", "face_pack", "--dtype", "int8"), "--dtype: belongs to --to model"),
        (("--to", "model", "--face_pack", str(tmp_path)), "holds no ONNX files"),
    ]
    for more, line in tries:
        assert export(model, tmp_path / "out", *more) == 2
        shown = capsys.readouterr().err
        assert line in shown
        assert shown.count("\n") == 1
    (tmp_path / "there").mkdir()
    assert export(model, tmp_path / "there", "--to", "model") == 2
    assert "exists already" in capsys.readouterr().err


def test_differences_name_the_network_that_changed(model: Path) -> None:
    loaded = load_any(model, place=np.asarray)
    other = load_any(model, place=np.array).weights
    other["imr"]["proj_out"]["kernel"] = other["imr"]["proj_out"]["kernel"] * np.float32(1.1)
    moved = differences(loaded.config, loaded.weights, other)
    assert moved["imr"] > 0.01
    assert {name for name, change in moved.items() if change > 0} == {"imr"}
