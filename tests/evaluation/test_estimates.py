"""The bootstrap: known errors of a mean, people as the unit, pairs kept together."""

import numpy as np
import pytest

from dynamicid_jax.evaluation.estimates import estimate, mean


def test_the_interval_is_that_of_a_mean():
    dice = np.random.default_rng(0)
    values = dice.normal(3, 2, 400)
    found = mean(list(enumerate(values)))
    assert found.value == pytest.approx(values.mean())
    error = values.std() / 20  # sqrt(400)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert found == mean(list(enumerate(values)))


def test_the_unit_is_the_person():
    dice = np.random.default_rng(0)
    own = dice.normal(size=100)
    once = mean(list(enumerate(own)))
    often = mean([(who, value) for who, value in enumerate(own) for _ in range(9)])
    assert often.count == 900
    assert (often.low, often.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_differences_are_paired():
    dice = np.random.default_rng(0)
    one = [(who, value) for who, value in enumerate(dice.normal(0, 5, 100))]
    other = [(who, value - 1) for who, value in one]
    found = estimate(lambda a, b: a - b, one, other)
    assert (found.low, found.value, found.high) == pytest.approx((1, 1, 1))
    ratio = estimate(lambda a, b: a / b, [(0, 1.0), (1, 2.0)], [(0, 2.0), (1, 4.0)])
    assert (ratio.low, ratio.high) == pytest.approx((0.5, 0.5))


def test_what_is_not_a_number_is_left_out():
    assert mean([(0, 1.0), (1, float("nan"))]).count == 1
    assert np.isnan(mean([(0, float("nan"))]).value)
    assert mean([]).count == 0
