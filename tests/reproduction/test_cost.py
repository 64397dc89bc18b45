"""Costs against arithmetic done by hand."""

from dataclasses import replace

import pytest

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.random_model import tiny_config
from dynamicid_jax.reproduction.cost import Cost, cost, machine, page


def test_hours_and_money_follow_from_the_arithmetic():
    config = TrainConfig(stage="anchoring", batch_size=8, steps=1000)
    one = cost(config, tiny_config(), machine("H100", 1, 3.0, 0.5))
    assert one.hours * 3600 * 989.4e12 * 0.5 == pytest.approx(1000 * 8 * one.flops)
    assert one.money == pytest.approx(3.0 * one.hours)
    eight = cost(config, tiny_config(), machine("H100", 8, 3.0, 0.5))
    assert eight.hours == pytest.approx(one.hours / 8)
    assert eight.money == pytest.approx(one.money)
    assert eight.held < one.held  # a part of the batch


def test_what_is_held_is_at_least_masters_moments_and_average():
    """float32 weights that train, two moments and an average of them: 16 bytes each; frozen ones 2."""
    on = machine("v5e", 1, None, 0.5)
    averaged = TrainConfig(stage="anchoring", batch_size=1)
    bare = cost(averaged, tiny_config(), on)
    with_average = replace(averaged, optimizer=replace(averaged.optimizer, ema_decay=0.999))
    more = cost(with_average, tiny_config(), on).held - bare.held
    assert 0 < 3 * more < bare.held  # weights and two moments are there already
    assert bare.money is None


@pytest.mark.parametrize(
    "wrong",
    [
        ("Z80", 1, 1.0, 0.5),
        ("H100", 0, 1.0, 0.5),
        ("H100", 1, -1.0, 0.5),
        ("H100", 1, float("nan"), 0.5),
        ("H100", 1, 1.0, 0.0),
    ],
)
def test_wrong_machines_are_one_line(wrong):
    with pytest.raises(InputError, match=r"expected|not in the table") as error:
        machine(*wrong)
    assert "\n" not in str(error.value)


def test_the_page_adds_both_stages():
    on = machine("H100", 2, 1.0, 0.3)
    stages = (("anchoring", 1.25, 2.5), ("reconfiguration", 2.25, 4.5))
    text = page([Cost(name, 5, 8, 1e12, hours, 2**30, money) for name, hours, money in stages], on)
    assert "| both | | | 3.5 | 7.00 | |" in text
    assert "30% of the peak rate (an assumption)" in text
