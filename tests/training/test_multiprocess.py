"""Two processes with four devices each are one run: they compute, save, stop and fail together."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dynamicid_jax.training.checkpoint import Checkpoints
from dynamicid_jax.trees import flatten

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("psum_worker.py")
ENDLESS = 100_000
PATIENCE = 300  # seconds; a loaded machine takes its time to import and compile


class Processes:
    """So many of one command, as a launcher would start them; each writes into a file of its own."""

    def __init__(self, folder: Path, count: int, *command: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        folder.mkdir(parents=True, exist_ok=True)
        self.outputs = [folder / f"output_{time.monotonic_ns()}_{i}" for i in range(count)]
        self.all = []
        for index, output in enumerate(self.outputs):
            devices = f"--xla_force_host_platform_device_count={8 // count}"
            launched = {"JAX_NUM_PROCESSES": str(count), "JAX_PROCESS_ID": str(index)}
            if count > 1:
                launched["JAX_COORDINATOR_ADDRESS"] = address
            environment = {**os.environ, **launched, "XLA_FLAGS": devices, "PYTHONPATH": str(ROOT)}
            arguments = [sys.executable, *map(str, command)]
            with output.open("w") as file:
                self.all.append(
                    subprocess.Popen(arguments, env=environment, stdout=file, stderr=file)
                )

    def text(self, index: int) -> str:
        return self.outputs[index].read_text()

    def until(self, happened: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, [self.text(i) for i in range(len(self.all))]
            time.sleep(0.01)

    def until_step(self, pattern: str) -> None:
        """Until all have got that far."""
        self.until(lambda: all(re.search(pattern, path.read_text(), re.M) for path in self.outputs))

    def codes(self, patience: float = PATIENCE) -> list[int]:
        return [process.wait(patience) for process in self.all]

    def end(self) -> None:
        for process in self.all:
            process.kill()
            process.wait()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    started = []

    def start(count: int, *command: Any) -> Processes:
        started.append(Processes(tmp_path / "outputs", count, *command))
        return started[-1]

    yield start
    for processes in started:
        processes.end()


@pytest.fixture(scope="module")
def tiny_run() -> ModuleType:
    """benchmarks/tiny_run.py, which is no package."""
    spec = importlib.util.spec_from_file_location("tiny_run", ROOT / "benchmarks" / "tiny_run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_stops_the_other_with_a_clear_line(
    launch: Callable[..., Processes], tmp_path: Path, victim: int
) -> None:
    processes = launch(2, WORKER, tmp_path / "c", ENDLESS, 60)
    processes.until_step("^3$")
    before = processes.text(1 - victim)
    processes.all[victim].kill()
    code = processes.all[1 - victim].wait(10)
    said = processes.text(1 - victim)[len(before) :]
    lines = [line for line in said.splitlines() if not line.isdecimal()]
    line = (
        f"error: process {victim} of 2 was killed or has crashed; process {1 - victim} stops, too. "
        "Start all of them again to resume from the last checkpoint"
    )
    if victim == 0:
        # process 0 holds JAX's coordination service, whose own clients notice within milliseconds, too
        assert (code == 3 and line in lines) or (code < 0 and "another task died" in said)
    else:
        assert (code, lines) == (3, [line])


def test_sigterm_to_one_saves_the_same_step_in_both_and_resumes_on_one(
    launch: Callable[..., Processes], tmp_path: Path
) -> None:
    processes = launch(2, WORKER, tmp_path / "c", ENDLESS, 60)
    processes.until_step("^3$")
    processes.all[1].send_signal(signal.SIGTERM)
    assert processes.codes() == [0, 0]
    saved = {re.search(r"^saved (\d+)$", processes.text(i), re.M)[1] for i in (0, 1)}  # type: ignore[index]
    assert len(saved) == 1
    [step] = map(int, saved)
    again = launch(1, WORKER, tmp_path / "c", step + 3, 60)
    assert again.codes() == [0]
    assert again.text(0).splitlines()[0] == f"from {step}"
    assert f"saved {step + 3}" in again.text(0)


def test_an_error_in_one_process_reaches_the_other(
    launch: Callable[..., Processes], tmp_path: Path
) -> None:
    processes = launch(2, WORKER, tmp_path / "c", ENDLESS, 60, 1)
    assert processes.codes() == [3, 2]
    assert "error: process 1 of 2 stopped: photo.png: not a picture" in processes.text(0)


@pytest.mark.slow
def test_a_silent_process_stops_the_other(launch: Callable[..., Processes], tmp_path: Path) -> None:
    processes = launch(2, WORKER, tmp_path / "c", ENDLESS, 10)
    processes.until_step("^3$")
    processes.all[1].send_signal(signal.SIGSTOP)
    assert processes.all[0].wait(30) == 3
    assert "process 1 of 2 has been silent for 10 seconds" in processes.text(0)


def arrays(workdir: Path, step: int) -> dict[str, np.ndarray]:
    restored = Checkpoints(workdir / "checkpoints").restore()
    assert restored is not None
    assert restored.step == step
    return flatten(restored.state)


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    weights = [name for name in one if name.startswith(("trained", "ema"))]
    assert len(weights) > 10
    for name in weights:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(one["key"], other["key"])


@pytest.mark.slow
def test_two_processes_train_like_one(
    launch: Callable[..., Processes], tmp_path: Path, tiny_run: ModuleType
) -> None:
    recipe = tiny_run.write(tmp_path / "tiny")
    command = (ROOT / "train.py", "--config", recipe, "--workdir")
    one, two, stopped = (tmp_path / name for name in ("one", "two", "stopped"))
    assert launch(1, *command, one).codes() == [0]
    assert launch(2, *command, two).codes() == [0, 0]
    assert_close(arrays(one, 10), arrays(two, 10))
    assert (two / "report.json").is_file()

    # stopped by a signal to one of two processes, finished by one process
    processes = launch(2, *command, stopped, "--config.checkpoint.every=1")
    processes.until(lambda: (stopped / "checkpoints/2/seal.json").exists())
    processes.all[0].send_signal(signal.SIGTERM)
    assert processes.codes() == [0, 0], processes.text(0)
    assert launch(1, *command, stopped).codes() == [0]
    assert_close(arrays(one, 10), arrays(stopped, 10))
