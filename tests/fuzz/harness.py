"""Runs one fuzzer's cases and says what should not have happened.

A case either goes well or ends in a `DynamicIDError` of one line. Anything else is a finding: another exception,
several lines, more than 5 seconds of processor time, a file touched outside the case's own folder, a program started.
A case depends on the fuzzer's name, the seed and its own number alone, so every finding can be had again.
"""

import os
import re
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dynamicid_jax.errors import DynamicIDError

from .guard import GUARD

MAX_SECONDS = 5.0
Case = Callable[[np.random.Generator], None]


@dataclass(frozen=True)
class Fuzzer:
    """One kind of input.

    Attributes:
        name: on the command line.
        count: cases of the long run.
        quick: cases of the default test run.
        prepare: given a folder of its own, makes the seeds and returns the case.
    """

    name: str
    count: int
    quick: int
    prepare: Callable[[Path], Case]


@dataclass
class Tally:
    """What happened.

    Attributes:
        accepted: cases that went well.
        refused: cases that ended in one of our errors.
        slowest: most seconds of processor time that a case took.
        reasons: refusals by their words without numbers and names, for a look at what is reached.
        findings: what should not have happened, by case number.
    """

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    findings: dict[int | str, str] = field(default_factory=dict)


def run_cases(
    fuzzer: Fuzzer,
    folder: Path,
    *,
    start: int = 0,
    count: int | None = None,
    seed: int = 0,
    tell: Callable[[int], None] = lambda number: None,
) -> Tally:
    """Runs `count` cases from number `start`; `tell` hears every number before its case runs."""
    tally = Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = fuzzer.prepare(folder)
        for number in range(start, start + (fuzzer.quick if count is None else count)):
            tell(number)
            rng = np.random.default_rng([seed, zlib.crc32(fuzzer.name.encode()), number])
            with GUARD.watching(folder, *_compiled()) as events:
                _run_case(case, rng, number, tally)
            if events:
                tally.findings[number] = f"did: {events[0]}"
    return tally


def _compiled() -> list[Path]:
    """JAX's own cache, which it may write to."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return [Path(folder)] if folder else []


def _run_case(case: Case, rng: np.random.Generator, number: int, tally: Tally) -> None:
    begin = time.process_time()
    try:
        case(rng)
        tally.accepted += 1
    except DynamicIDError as error:
        tally.refused += 1
        text = str(error)
        tally.reasons[_reason(text)] += 1
        if len(text.splitlines()) != 1 or not text.isprintable():
            tally.findings[number] = f"a refusal that is not one line: {text!r:.300}"
    except Exception:
        tally.findings[number] = traceback.format_exc(limit=-6)
    seconds = time.process_time() - begin
    tally.slowest = max(tally.slowest, seconds)
    if seconds > MAX_SECONDS:
        tally.findings[number] = f"took {seconds:.1f} s"


def _reason(text: str) -> str:
    """The words of a refusal that do not differ from case to case, roughly."""
    return re.sub(r"\d", "0", text.split(": ", 1)[-1][:60])


def check(tally: Tally) -> None:
    """Fails with the first findings, with the numbers to run them again by."""
    shown = [f"case {number}: {text}" for number, text in list(tally.findings.items())[:3]]
    assert not tally.findings, f"{len(tally.findings)} findings\n" + "\n".join(shown)
