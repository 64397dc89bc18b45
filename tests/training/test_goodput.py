import contextlib

import pytest

from dynamicid_jax.training.goodput import Goodput


class Clock:
    """A clock that is told what time it is."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _spend(goodput: Goodput, clock: Clock, **phases: float) -> None:
    for name, seconds in phases.items():
        with goodput.phase(name):
            clock.now += seconds


def test_every_second_belongs_to_one_phase() -> None:
    clock = Clock()
    goodput = Goodput(clock)
    clock.now += 1  # under no phase
    with goodput.phase("step"):
        clock.now += 10
        with goodput.phase("checkpoint"):
            clock.now += 4
        clock.now += 3
    _spend(goodput, clock, data=2)
    spent = goodput.seconds()
    assert {name: x for name, x in spent.items() if x} == {
        "other": 1, "step": 13, "checkpoint": 4, "data": 2,
    }  # fmt: skip
    assert sum(spent.values()) == clock.now - 100
    assert goodput.value() == pytest.approx(13 / 20)


def test_a_phase_that_raises_is_left_again() -> None:
    clock = Clock()
    goodput = Goodput(clock)
    with contextlib.suppress(KeyError), goodput.phase("step"):
        clock.now += 2
        raise KeyError
    clock.now += 1
    assert (goodput.seconds()["step"], goodput.seconds()["other"]) == (2, 1)


def test_a_resumed_run_counts_all_sessions_and_what_the_broken_one_lost() -> None:
    clock = Clock()
    first = Goodput(clock)
    _spend(first, clock, compile=5, step=20)
    saved = first.state(wall_time=1000.0)
    _spend(first, clock, step=15)  # after the checkpoint: lost when the session is killed
    second = Goodput(clock)
    second.resume(saved, last_seen=1015.0)
    _spend(second, clock, restore=2, compile=5, step=30)
    summary = second.summary()
    assert summary["seconds"] == {"restore": 2, "compile": 10, "step": 50, "lost": 15}
    assert summary["goodput"] == pytest.approx(50 / 77)
    assert summary["sessions"] == 2
    assert sum(summary["shares"].values()) == pytest.approx(1)


def test_an_unknown_phase_is_refused() -> None:
    with pytest.raises(ValueError, match=r"phase 'nap'.*checkpoint"), Goodput().phase("nap"):
        pass
