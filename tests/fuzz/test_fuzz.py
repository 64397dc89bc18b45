"""A few cases of every fuzzer; `python -m tests.fuzz` runs the many (docs/SECURITY.md)."""

from pathlib import Path

import pytest

from fuzz.fuzzers import ALL
from fuzz.harness import Tally, check, run_cases
from fuzz.workers import run_apart

APART = ("pickles", "networks", "layouts")
"""Fuzzers that fork, that run foreign libraries which may end the process, or whose values this test run's own type
checks would refuse before the code under test sees them."""


@pytest.mark.parametrize("name", [name for name in ALL if name not in APART])
def test_bad_input_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    tally = run_cases(ALL[name], tmp_path)
    check(tally)
    assert tally.refused


@pytest.mark.parametrize("name", APART)
def test_bad_files_are_refused_by_a_process_that_lives_on(name: str) -> None:
    if name == "pickles":
        pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads .bin files")
    told = run_apart(ALL[name], 0, ALL[name].quick)
    check(Tally(findings=told["findings"]))
    assert told["refused"]
