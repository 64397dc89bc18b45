"""A few cases of every fuzzer; `python -m tests.fuzz` runs the many (docs/SECURITY.md)."""

import pytest

from fuzz.fuzzers import ALL
from fuzz.harness import check, run_cases


@pytest.mark.parametrize("name", ALL)
def test_bad_input_is_refused_in_one_line(name: str, tmp_path) -> None:
    if name == "pickles":
        pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads .bin files")
    tally = run_cases(ALL[name], tmp_path)
    check(tally)
    assert tally.refused
