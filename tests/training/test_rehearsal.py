"""Parts to come are compiled while others train, and a chain of parts ends with one model."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dynamicid_jax.training.mini import MiniRun, Part
from dynamicid_jax.training.rehearsal import Rehearsal

RECIPE = """
from dynamicid_jax.config import TrainConfig, to_config_dict

def get_config():
    config = to_config_dict(TrainConfig())
    config.stage = "autoencoder"
    config.random_base = "nano"
    config.batch_size, config.steps, config.dtype = 8, 1000000, "float32"
    config.data.image_size, config.data.workers = 32, 0
    config.data.sources = [{"path": "world/scenes"}]
    config.log.every, config.log.pictures_every, config.log.heldout_every = 5, 0, 0
    config.log.tensorboard = False
    return config
"""


def processes(programs):
    """A start of small programs instead of trainings."""

    def start(name: str, log: Path) -> "subprocess.Popen[bytes]":
        with log.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-c", programs[name]], stdout=said, stderr=said
            )

    return start


def test_groups_are_rehearsed_in_order_and_waited_for(tmp_path):
    write = "from pathlib import Path; import time; time.sleep(0.3); Path({!r}).touch()"
    files = {name: tmp_path / name for name in "abc"}
    programs = {name: write.format(str(file)) for name, file in files.items()}
    said: list[str] = []
    rehearsal = Rehearsal([["a", "b"], ["c"]], tmp_path / "logs", processes(programs), said.append)
    rehearsal.wait(["unknown"])  # not to be rehearsed: nothing to wait for
    rehearsal.wait(["a", "b"])
    assert files["a"].exists()
    assert files["b"].exists()
    rehearsal.wait(["c"])
    assert files["c"].stat().st_mtime >= files["a"].stat().st_mtime
    rehearsal.stop()
    assert said == []


def test_what_cannot_be_rehearsed_is_said_and_stops_nothing(tmp_path):
    programs = {"bad": "print('out of memory'); raise SystemExit(3)", "good": "pass"}
    said: list[str] = []
    rehearsal = Rehearsal([["bad"], ["good"]], tmp_path, processes(programs), said.append)
    rehearsal.wait(["bad", "good"])
    rehearsal.stop()
    (line,) = said
    assert line.startswith("bad: could not be compiled ahead (code 3)")
    assert "out of memory" in (tmp_path / "bad.log").read_text()


def test_a_stop_does_not_wait_for_what_still_runs(tmp_path):
    programs = dict.fromkeys("ab", "import time; time.sleep(600)")
    said: list[str] = []
    rehearsal = Rehearsal([["a"], ["b"]], tmp_path, processes(programs), said.append)
    rehearsal.stop()
    rehearsal.wait(["a", "b"])
    assert said == []


@pytest.mark.slow
def test_a_chain_with_parts_compiled_ahead_leaves_one_model(tmp_path):
    recipes, run = tmp_path / "recipes", tmp_path / "run"
    recipes.mkdir()
    (recipes / "small.py").write_text(RECIPE)
    first = Part("first", "small.py", 1.0)
    groups = [[first], [replace(first, name="second", changes={"batch_size": 16})]]
    said: list[str] = []
    chain = MiniRun(recipes, run, groups, 2.0, said.append, ahead=True)
    assert chain.run()
    state = json.loads((run / "mini.json").read_text())
    assert state["done"] == ["first", "second"]
    assert (run / "model" / "vae.safetensors").is_file()
    assert not (run / "ahead").exists()
    assert json.loads((run / "second" / "report.json").read_text())["updates"]["done"] > 1
    # the second part went on from the first one's model
    assert str(run / "model") in (run / "second" / "report.md").read_text()
    assert not any("ahead" in line for line in said)
    said.clear()
    assert MiniRun(recipes, run, groups, 2.0, said.append, ahead=True).run()
    assert said == []  # nothing is left to do, nor to compile
    assert not (run / "ahead").exists()
