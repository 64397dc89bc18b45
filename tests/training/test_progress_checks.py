"""When a run looks at its pictures and at held-out records."""

import pytest

from dynamicid_jax.training.progress_checks import due


@pytest.mark.parametrize(
    ("every", "first", "expected"),
    [
        (300, 25, [25, 50, 100, 200, 300, 600]),
        (100, 25, [25, 50, 100, 200, 300, 400, 500, 600]),
        (300, 400, [300, 600]),
        (300, 0, [300, 600]),
    ],
)
def test_a_run_shows_early_whether_it_learns_and_then_keeps_its_pace(every, first, expected):
    assert [step for step in range(1, 650) if due(step, every, first)] == expected
    assert due(0, every, first)
