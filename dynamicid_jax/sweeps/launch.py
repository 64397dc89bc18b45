"""What launchers share: a trial is a process of its own, `dynamicid sweep --out DIR --trial NAME`.

It runs the trial's commands (jobs/run.py) and writes down what becomes of them, so that a launcher has to read states
and never has to be believed. It ends with the process that started it.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynamicid_jax.jobs.job import State, read_state, write_state
from dynamicid_jax.jobs.run import POLL
from dynamicid_jax.types import Number

Say = Callable[[str], None]


@dataclass(frozen=True)
class Resources:
    """What a trial takes; whole numbers, but for a GPU that several share on Ray.

    Attributes:
        cpus: cores.
        gpus: of the node's GPUs; below 1 (Ray only) trials share one.
        tpus: of the node's TPU chips.
    """

    cpus: int = 1
    gpus: Number = 0
    tpus: int = 0


def trial_words(out: Path, name: str, retries: int, parent: int = 0) -> list[str]:
    """The command of one trial."""
    return [
        *(sys.executable, "-m", "dynamicid_jax", "sweep"),
        *("--out", str(out.resolve()), "--trial", name, "--retries", str(retries)),
        *(("--parent", str(parent)) if parent else ()),
    ]


def attend(
    out: Path,
    name: str,
    retries: int,
    stop: threading.Event | None = None,
    environment: dict[str, str] | None = None,
) -> State:
    """Runs one trial's process and waits for it; one that is killed is started again, up to `retries` times.

    Args:
        out: the sweep's folder.
        name: the trial's.
        retries: of killed processes here, and of failed commands in the process.
        stop: when it is set, the trial is asked to save and leave.
        environment: more variables for its processes.
    """
    for _ in range(retries + 1):
        process = subprocess.Popen(
            trial_words(out, name, retries, os.getpid()),
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # all is in the trial's log
            start_new_session=True,
        )
        while process.poll() is None:
            if stop is not None and stop.is_set():
                process.terminate()
                process.wait()
            time.sleep(POLL)
        if process.returncode >= 0 or (stop is not None and stop.is_set()):
            break
    state = read_state(out / name)
    if state.status == "running":  # nobody was left to write down how it ended
        how = f"its process ended with code {process.returncode}"
        state = write_state(out / name, state, status="failed", code=process.returncode, error=how)
    return state


def verdict(name: str, state: State) -> str:
    """One line about a trial that has ended."""
    seconds = sum(state.seconds.values())
    return f"{name}: {state.status} after {seconds:.0f} s" + (
        f"; {state.error}" if state.error else ""
    )


def unfinished(out: Path, names: Sequence[str]) -> list[str]:
    """Trials that are still to be run, in their order."""
    return [name for name in names if read_state(out / name).status != "finished"]
