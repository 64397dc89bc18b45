"""A run's time: when it is over, and how many updates that will have been."""

import jax.numpy as jnp
import pytest

from dynamicid_jax.config import OptimizerConfig
from dynamicid_jax.training.goodput import Goodput
from dynamicid_jax.training.optimizer import learning_rate
from dynamicid_jax.training.time_budget import TimeBudget


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def spend(clock, goodput, phase, seconds):
    with goodput.phase(phase):
        clock.now += seconds


def test_updates_follow_the_speed_and_what_else_took_time():
    clock = Clock()
    goodput = Goodput(clock)
    budget = TimeBudget(2.0, 10_000, goodput)  # 120 seconds
    assert budget.updates(0) == 10_000  # nothing is known yet
    spend(clock, goodput, "compile", 20)
    spend(clock, goodput, "step", 10)
    assert budget.updates(50) == 500  # 5 a second for the 100 that are left beside compiling
    spend(clock, goodput, "pictures", 40)
    assert budget.updates(50) == 300
    assert not budget.over(50)
    spend(clock, goodput, "step", 50)
    assert budget.over(300)


def test_steps_are_a_limit_too_and_alone_where_there_is_no_time():
    clock = Clock()
    goodput = Goodput(clock)
    spend(clock, goodput, "step", 1000)
    unlimited = TimeBudget(0.0, 70, goodput)
    assert unlimited.updates(10) == 70
    assert not unlimited.over(69)
    assert unlimited.over(70)
    assert TimeBudget(1e6, 70, goodput).updates(10) == 70


@pytest.mark.parametrize(("update", "rate"), [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.5), (110, 0.0)])
def test_a_cosine_rises_turns_and_ends_where_it_is_told(update, rate):
    config = OptimizerConfig(learning_rate=1.0, warmup=10, schedule="cosine")
    assert float(learning_rate(config, jnp.int32(update), 110)) == pytest.approx(rate, abs=1e-6)
    flat = OptimizerConfig(learning_rate=1.0, warmup=10)
    assert float(learning_rate(flat, jnp.int32(update), 110)) == pytest.approx(
        min(1.0, (update + 1) / 10)
    )
