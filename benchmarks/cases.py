"""What is measured: suites of cases, each a name, a group, and a way to build the function that is timed.

Cases of one worker share a process, and what that process loads. `run.py` starts the workers and takes turns.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STEPS = int(os.environ.get("GUIDED_STEPS", "3"))  # per repetition; `run.py --steps` sets it
Timed = Callable[[], float]
"""Runs once and returns the row's value: seconds, or a rate."""


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        group: heading of its table.
        name: what is measured.
        worker: the process that it lives in.
        build: (what the worker's `load` gave) -> the timed function, compiled where that can be done ahead.
        unit: of the values.
        tflop: of one value; called where the case could be built.
        per: see `rows.Row`.
        repeats: None: the run's.
        memory: whether the process's peak memory is this case's, who is alone in it.
    """

    group: str
    name: str
    worker: str
    build: Callable[[Any], Timed]
    unit: str = "s"
    tflop: Callable[[], float] | None = None
    per: float = 1.0
    repeats: int | None = None
    memory: bool = False


@dataclass(frozen=True)
class Suite:
    """What one run measures.

    Attributes:
        name: of the tables.
        cases: in the order of the tables.
        load: per worker, what its cases share.
        order: workers in the order in which they are started; those of one tuple take turns.
        threads: cases that a worker builds at once (compilers of accelerators leave a host idle).
        environment: of the workers.
        compare: pairs of names whose ratio is told.
    """

    name: str
    cases: tuple[Case, ...]
    load: dict[str, Callable[[], Any]]
    order: tuple[tuple[str, ...], ...]
    threads: int = 1
    environment: tuple[tuple[str, str], ...] = ()
    compare: tuple[tuple[str, str], ...] = ()
