"""The entry point: help for every command, one line for what a user can mend, exit codes."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

import dynamicid_jax
from dynamicid_jax.cli import main as cli
from dynamicid_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[str]:
    return [name for a in cli.build_parser()._actions if a.choices for name in a.choices]


@pytest.mark.parametrize("command", commands())
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main([command, "--help"])
    assert done.value.code == 0
    assert f"usage: dynamicid {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert re.search(rf"^ +{command} +\S", capsys.readouterr().out, re.MULTILINE)


def test_doors_open() -> None:
    for door in (["sample.py"], ["-m", "dynamicid_jax", "sample"]):
        done = subprocess.run(
            [sys.executable, *door, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "usage: dynamicid sample" in done.stdout


def test_version_names_what_matters(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert f"dynamicid-jax {dynamicid_jax.__version__}" in shown
    assert f"jax {jax.__version__}" in shown


def run_command(monkeypatch: pytest.MonkeyPatch, run: Any) -> int:
    """The exit code of an entry point whose only command does `run`."""

    def add_parser(subparsers: Any) -> None:
        subparsers.add_parser("try", help="try").set_defaults(run=run)

    monkeypatch.setattr(cli, "COMMANDS", (SimpleNamespace(add_parser=add_parser),))
    return cli.main(["try"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            InputError("a.png: expected a picture;\nconvert it"),
            2,
            "a.png: expected a picture; convert it",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out.png"),
            2,
            "no space left on the disk",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def run(args: Any) -> int:
        raise error

    assert run_command(monkeypatch, run) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"error: {line}")
    assert shown.err.count("\n") == 1


def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        run_command(monkeypatch, run)


@pytest.mark.parametrize(
    "arguments", [[], ["no_such_command"], ["demo", "--no_such_option"], ["demo", "--see"]]
)
def test_bad_options_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(arguments)
    assert done.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


def test_a_closed_pipe_is_quiet() -> None:
    code = """
from types import SimpleNamespace
from dynamicid_jax.cli import main as cli
def run(args):
    print("x" * 100_000)
    return 0
add_parser = lambda s: s.add_parser("try").set_defaults(run=run)
cli.COMMANDS = (SimpleNamespace(add_parser=add_parser),)
raise SystemExit(cli.main(["try"]))
"""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (cli.CLOSED_PIPE, "")


def test_train_says_in_one_line_that_a_recipe_is_missing(capsys) -> None:
    assert cli.main(["train", "--config", "configs/a.py", "--workdir", "w"]) == 2
    assert capsys.readouterr().err.startswith("error: --config configs/a.py: no such file")


def test_a_missing_extra_is_named(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    for module in ("loop", "setup", "step", "optimizer", "heldout", "progress_checks"):
        monkeypatch.delitem(sys.modules, f"dynamicid_jax.training.{module}", raising=False)
    recipe = str(Path(dynamicid_jax.__file__).parents[1] / "configs" / "anchoring_sd15.py")
    assert cli.main(["train", "--config", recipe, "--workdir", "w"]) == 2
    assert "pip install 'dynamicid-jax[train]'" in capsys.readouterr().err
