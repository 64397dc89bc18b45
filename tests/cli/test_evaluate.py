"""`dynamicid evaluate`: what is refused, in one line, before anything is loaded."""

import json
import shutil
from pathlib import Path

import fake_people
import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.packaged import mini_folder


def error_of(capsys: pytest.CaptureFixture, *options: str) -> str:
    assert main(["evaluate", "--model", "nowhere", "--out", "out", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    return next(line for line in lines if line.startswith("error: "))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--suite", "maxi"],
            "--suite 'maxi': expected one of edit, mini, multi, single, or a .toml file",
        ),
        (["--claims", "one,all"], "--claims 'one,all': expected some of base, one, two"),
        (["--claims", ","], "--claims ',': expected some of base"),
        (["--people", "0"], "--people: expected 1 to"),
        (["--people", "1"], "nowhere: no such folder"),
        (["--only", "compare"], "--only compare: expected --compare DIR, too"),
        (["--only", "judge"], "holds no run.json; draw pictures first"),
        (["--suite", "single", "--photos", "nowhere"], "--photos nowhere: no such folder"),
        (["--photos", "nowhere"], "suite mini: has no [photos], it is for made-up people"),
        (
            ["--judges", "nowhere"],
            "detector judge nowhere/detector.onnx: no such file; --judges DIR",
        ),
    ],
)
def test_bad_requests_are_one_line(
    capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    assert message in error_of(capsys, *options)


def test_a_batch_holds_something(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        error_of(capsys, "--batch", "0")
    assert end.value.code == 2
    assert "--batch: expected a whole number of at least 1, got '0'" in capsys.readouterr().err


def test_a_model_is_needed_for_drawing(capsys: pytest.CaptureFixture) -> None:
    assert main(["evaluate", "--out", "out"]) == 2
    assert '--model: expected a model folder, or "mini"' in capsys.readouterr().err


def test_photographs_need_their_judges(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    fake_people.write_people(tmp_path, ("coal", "sky"), photos=1)
    line = error_of(capsys, "--suite", "edit", "--photos", str(tmp_path))
    assert "suite edit: needs --judges DIR, the folder with its judges" in line


def test_a_suite_with_an_unknown_key(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("pictres = 3")
    line = error_of(capsys, "--suite", str(tmp_path / "own.toml"))
    assert "suite own.toml: unknown key 'pictres'; expected about, made_up" in line


def test_a_model_without_imr_is_not_asked_for_edits(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    if mini_folder() is None:
        pytest.skip("this checkout comes without the mini model")
    model = tmp_path / "model"
    shutil.copytree(mini_folder(), model)
    config = json.loads((model / "model.json").read_text())
    without = {**config, "imr": None, "keypoint_encoder": None}
    (model / "model.json").write_text(json.dumps(without))
    out = str(tmp_path / "out")
    assert main(["evaluate", "--model", str(model), "--suite", "edit", "--out", out]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "suite edit: pictures 'edited' are edits; face, pose: editing needs" in lines[0]
    assert not (tmp_path / "out").exists()
