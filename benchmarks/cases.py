"""What is measured: suites of cases, each a name, a group, and a way to build the function that is timed.

Cases of one worker share a process, and what that process loads. `run.py` starts the workers and takes turns.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STEPS = int(os.environ.get("GUIDED_STEPS", "2"))  # per repetition; `run.py --steps` sets it
Timed = Callable[[], float]
"""Runs once and returns the row's value: seconds, a rate, or GB."""


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        group: heading of its table.
        name: what is measured.
        worker: the process that it lives in.
        build: (what the worker's `load` gave) -> the timed function, compiled where that can be done ahead.
        unit: of the values.
        tflop: of one value.
        per: see `rows.Row`.
        memory: whether its peak memory is told: of a process of its own, which loads what the worker does, builds this
            case alone and finds its programs in the compilation cache.
        compiling: whether that is also told of a process that compiles.
    """

    group: str
    name: str
    worker: str
    build: Callable[[Any], Timed]
    unit: str = "s"
    tflop: Callable[[], float] | None = None
    per: float = 1.0
    memory: bool = False
    compiling: bool = False


@dataclass(frozen=True)
class Suite:
    """What one run measures.

    Attributes:
        name: of the tables.
        cases: in the order of the tables.
        load: per worker, what its cases share.
        order: workers in the order in which they are started; those of one tuple take turns.
        at_once: whether the workers of a tuple also load and build at the same time: a GPU's host has cores for that.
        threads: cases that a worker builds at once (compilers of accelerators leave a host idle).
        environment: of the workers.
        compare: pairs of names whose ratio is told.
    """

    name: str
    cases: tuple[Case, ...]
    load: dict[str, Callable[[], Any]]
    order: tuple[tuple[str, ...], ...]
    at_once: bool = False
    threads: int = 1
    environment: tuple[tuple[str, str], ...] = ()
    compare: tuple[tuple[str, str], ...] = ()


def chosen(suite: Suite, only: tuple[str, ...]) -> list[Case]:
    """The cases that words name: a worker's name means its cases alone, any other word is a part of rows' names.

    Without words, all of them.
    """

    def named(case: Case, word: str) -> bool:
        return case.worker == word if word in suite.load else word in case.name

    return [case for case in suite.cases if not only or any(named(case, word) for word in only)]
