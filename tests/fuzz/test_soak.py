"""A short soak; `python -m tests.fuzz.soak` draws the thousand (docs/SECURITY.md)."""

import sys

import pytest

from dynamicid_jax.packaged import mini_folder
from fuzz import soak


@pytest.mark.slow  # five minutes of two cores
@pytest.mark.skipif(mini_folder() is None, reason="this version comes without the mini model")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_is_flat_and_nothing_is_compiled_again() -> None:
    done = soak.run(200)
    assert done.compiled == 0
    assert done.growth < soak.GROWTH
