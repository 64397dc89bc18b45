"""`dynamicid export --to model`: smaller folders, and how far outputs move."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.export.compare import output_changes
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.trees import flatten


def test_dtypes_differ_in_bytes_and_in_outputs(
    model: Path, tmp_path: Path, export, capsys: pytest.CaptureFixture[str]
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


def test_bfloat16_is_the_default_and_a_pack_goes_in(model: Path, tmp_path: Path, export) -> None:
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
    model: Path, tmp_path: Path, export, capsys: pytest.CaptureFixture[str]
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
    changes = output_changes((loaded.config, loaded.weights), (loaded.config, other))
    moved = {name: change.relative for name, change in changes.items()}
    assert moved["imr"] > 0.01
    assert {name for name, change in moved.items() if change > 0} == {"imr"}


def test_one_adapter_serves_several_bases(model: Path, tmp_path: Path, export) -> None:
    """The face projection and adapter of one, on the UNet of another, whose own adapter goes."""
    other = write_random_model(tmp_path / "other", "nano", seed=1)
    shared = tmp_path / "shared"
    assert export(model, shared, "--to", "model", "--adapter_only", "--dtype", "float32") == 0
    assert not (shared / "unet.safetensors").exists()
    assert (shared / "adapter.json").is_file()
    one, two, joined = load_any(model), load_any(other), load_any(other, adapter=shared)
    for part in ("unet", "vae", "text_encoder"):
        assert same(joined.weights[part], two.weights[part]), part
    for part in ("adapter", "face_projection", "imr", "keypoint_encoder", "image_encoder"):
        assert same(joined.weights[part], one.weights[part]), part
        assert not same(joined.weights[part], two.weights[part]), part
    whole = load_any(other, adapter=model)  # a whole model folder will do as well
    assert same(whole.weights, joined.weights)
    wide = write_random_model(tmp_path / "wide", "tiny")
    with pytest.raises(WeightsError, match=r"do not fit|not of one model"):
        load_any(wide, adapter=shared)
    with pytest.raises(InputError, match="no adapter in it"):
        load_any(other, adapter=tmp_path)


def same(one: Any, other: Any) -> bool:
    sides = [flatten(tree) for tree in (one, other)]
    return sides[0].keys() == sides[1].keys() and all(
        np.array_equal(leaf, sides[1][path]) for path, leaf in sides[0].items()
    )


def test_a_card_says_what_is_known(model: Path, tmp_path: Path, export) -> None:
    run, results = tmp_path / "run", tmp_path / "results"
    run.mkdir()
    shutil.copytree(model, run / "model")
    report = {
        "stage": "anchoring",
        "batch_size": 8,
        "updates": {"done": 40, "of": 40},
        "time": {"total_seconds": 5400},
        "where": {"devices": "4 x TPU v5e"},
        "held-out": {"heldout/loss": 0.123, "heldout/change": -0.045},
        "config": {"base": "", "data": {"sources": [{"path": "/secret/home/weddings"}]}},
    }
    (run / "report.json").write_text(json.dumps(report))
    results.mkdir()
    claim = {"title": "same person", "value": 0.61, "low": 0.58, "high": 0.64, "count": 70}
    measured = {"about": {"suite": "mini"}, "claims": {"identity": claim}}
    (results / "results.json").write_text(json.dumps(measured))
    words = ("--licence", "CC-BY-4.0", "--excluded", "Adverts.", "--evaluation", str(results))
    assert export(run / "model", tmp_path / "out", "--to", "model", *words) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| anchoring | weddings | 40 x 8 | 1.50 | 0.123, -0.045 | 4 x TPU v5e |" in card
    assert "| same person | 0.610 | 0.580 to 0.640 | 70 |" in card
    for line in ("CC-BY-4.0", "Adverts.", "LoRA rank 2", "The weights are random", "biometric"):
        assert line in card, line
    assert "secret" not in card
    assert export(tmp_path / "out", tmp_path / "no", "--to", "model", "--evaluation", "/no") == 2
    assert not (tmp_path / "no").exists()


def test_only_what_an_export_wrote_is_replaced(
    model: Path, tmp_path: Path, export, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    assert export(model, out, "--to", "model", "--adapter_only", "--overwrite") == 2
    assert (out / "letter.txt").read_text() == "mine"
    assert "not overwritten" in capsys.readouterr().err
    other = tmp_path / "other"
    for _ in range(2):
        assert export(model, other, "--to", "model", "--adapter_only", "--overwrite") == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["other", "out"]
