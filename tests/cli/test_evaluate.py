"""`dynamicid evaluate`: what is refused, in one line, before anything is loaded."""

import pytest

from dynamicid_jax.cli.main import main


def error_of(capsys: pytest.CaptureFixture, *options: str) -> str:
    assert main(["evaluate", "--model", "nowhere", "--out", "out", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    return next(line for line in lines if line.startswith("error: "))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "maxi"], "--suite 'maxi': expected one of mini"),
        (["--claims", "one,all"], "--claims 'one,all': expected some of base, one, two"),
        (["--claims", ","], "--claims ',': expected some of base"),
        (["--people", "0"], "--people, --batch: expected at least 1"),
        (["--batch", "0"], "--people, --batch: expected at least 1"),
        (["--people", "1"], "nowhere: no such folder"),
        (["--people", "1", "--only", "judge"], "nowhere: no such folder"),
    ],
)
def test_bad_requests_are_one_line(
    capsys: pytest.CaptureFixture, options: list[str], message: str
) -> None:
    assert message in error_of(capsys, *options)


def test_a_pack_without_judges_is_named(capsys: pytest.CaptureFixture, tmp_path) -> None:
    (tmp_path / "pack").mkdir()
    line = error_of(
        capsys, "--people", "1", "--only", "judge", "--face_pack", str(tmp_path / "pack")
    )
    assert "holds no ONNX files" in line
