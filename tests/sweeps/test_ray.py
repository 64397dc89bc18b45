"""Trials on Ray: workers that are killed are replaced, and every trial has its result.

By hand, with the same trials:

    dynamicid sweep --sweep tests/sweeps/tiny/sweep.py --out RUN --launcher ray --retries 3

and, meanwhile, `kill -9` of some of the processes whose numbers stand as "parent" in RUN/*/state.json.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.jobs.job import Command, State, read_state, write_job
from dynamicid_jax.sweeps.launch import Resources
from dynamicid_jax.sweeps.on_ray import run_ray

ROOT = Path(__file__).parents[2]
TRIALS, KILLS = 12, 3


@pytest.fixture
def on_ray(monkeypatch):
    """Skips without Ray; two cores, so that two trials run beside each other."""
    pytest.importorskip("ray", reason="needs the extra `sweep`")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


def states(out: Path) -> dict[str, State]:
    return {file.parent.name: read_state(file.parent) for file in out.glob("*/job.json")}


def kill_workers(out: Path, is_over: Callable[[], bool], killed: list[str]) -> None:
    """Kills the workers of three trials while these run, one after the other; notes whose."""
    while len(killed) < KILLS and not is_over():
        for name, state in states(out).items():
            begun = state.status == "running" and len(state.done) < state.attempts
            if begun and name not in killed and psutil.pid_exists(state.parent):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(state.parent, signal.SIGKILL)
                    killed.append(name)
                break
        time.sleep(3)


@pytest.mark.slow  # two minutes: starts a cluster
def test_twelve_sleepers_survive_the_killing_of_three_workers(on_ray, tmp_path):
    """The same as below without training: each trial sleeps a little and leaves a file."""
    names = [f"t{number:02d}" for number in range(TRIALS)]
    for name in names:
        code = (
            f"import os, time; os.chdir({str(tmp_path / name)!r}); time.sleep(4); open('made', 'w')"
        )
        write_job(tmp_path / name, [Command("train", (sys.executable, "-c", code), "made")])
    killed: list[str] = []
    over = threading.Event()
    killer = threading.Thread(target=kill_workers, args=(tmp_path, over.is_set, killed))
    killer.start()
    run_ray(tmp_path, names, "local", 2, 3, Resources(), lambda text: None)
    over.set()
    killer.join()
    assert len(killed) == KILLS
    assert {name: state.status for name, state in states(tmp_path).items()} == dict.fromkeys(
        names, "finished"
    )
    assert all((tmp_path / name / "made").exists() for name in names)


@pytest.mark.slow  # minutes: starts a cluster, trains and evaluates twelve tiny models
def test_twelve_trials_survive_the_killing_of_three_workers(on_ray, tmp_path):
    words = [sys.executable, "-m", "dynamicid_jax", "sweep", "--launcher", "ray", "--retries", "3"]
    words += ["--sweep", "tests/sweeps/tiny/sweep.py", "--out", str(tmp_path), "--jobs", "2"]
    with (tmp_path / "said.txt").open("w") as said:
        sweep = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        killed: list[str] = []
        kill_workers(tmp_path, lambda: sweep.poll() is not None, killed)
        code = sweep.wait()
    assert code == 0, (tmp_path / "said.txt").read_text()[-3000:]
    assert len(killed) == KILLS
    ended = states(tmp_path)
    assert len(ended) == TRIALS
    assert {state.status for state in ended.values()} == {"finished"}
    assert all(ended[name].attempts > 2 for name in killed)  # one more than train and evaluate
    for name in ended:
        results = json.loads((tmp_path / name / "results" / "results.json").read_text())
        assert results["claims"]["one_found"]["count"] == 1
    assert (tmp_path / "report.md").read_text().count("finished") == TRIALS


@pytest.mark.slow  # half a minute: starts a cluster
def test_a_crash_on_ray_stops_no_other_trial(on_ray, tmp_path):
    for name, code in (("a", "open('made', 'w')"), ("b", "import os; os.abort()")):
        words = (sys.executable, "-c", f"import os; os.chdir({str(tmp_path / name)!r}); {code}")
        write_job(tmp_path / name, [Command("train", words, "made")])
    said: list[str] = []
    with pytest.raises(InputError, match="no node has 1 CPU, 0 GPU, 4096 TPU"):
        run_ray(tmp_path, ["a"], "local", None, 0, Resources(tpus=4096), said.append)
    run_ray(tmp_path, ["a", "b"], "local", None, 0, Resources(), said.append)
    assert {name: state.status for name, state in states(tmp_path).items()} == {
        "a": "finished",
        "b": "failed",
    }
    assert len(said) == 2


def test_an_address_without_a_cluster_is_told_at_once(on_ray, tmp_path):
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        with pytest.raises(InputError, match="no Ray cluster there"):
            run_ray(tmp_path, ["a"], address, None, 0, Resources(), print)
