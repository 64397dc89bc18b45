"""Sweeps as values: grids, draws, names, references."""

import numpy as np
import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.sweeps.space import Between, Sweep, Trial, grid, random


def test_a_grid_is_every_combination_once():
    trials = grid({"model.imr_depth": (1, 2), "optimizer.learning_rate": (1e-4, 3e-4, 1e-3)})
    pairs = {tuple(trial.changes.values()) for trial in trials}
    assert len(trials) == len(pairs) == len({trial.name for trial in trials}) == 6
    assert trials[0].name == "000_imr_depth=1_learning_rate=0.0001"


def test_draws_stay_in_their_ranges_and_more_of_them_only_add():
    axes = {
        "optimizer.learning_rate": Between(1e-5, 1e-2, log=True),
        "model.lora_rank": Between(4, 64, whole=True),
        "loss.contrastive_weight": (0.0, 0.1),
    }
    few, many = random(axes, 8, seed=1), random(axes, 200, seed=1)
    assert many[:8] == few
    rates = [trial.changes["optimizer.learning_rate"] for trial in many]
    assert min(rates) >= 1e-5
    assert max(rates) <= 1e-2
    # Evenly over three decades: a third lies in each, here within five deviations of sqrt(200 * 2/9).
    assert abs(sum(rate < 1e-4 for rate in rates) - 200 / 3) < 5 * (200 * 2 / 9) ** 0.5
    assert {type(trial.changes["model.lora_rank"]) for trial in many} == {int}
    assert {trial.changes["loss.contrastive_weight"] for trial in many} == {0.0, 0.1}
    assert random(axes, 8, seed=2) != few


def test_the_first_pattern_that_fits_names_the_reference():
    names = ("full", "imr_full", "imr_depth_2", "rank_8")
    sweep = Sweep((), tuple(map(Trial, names)), references={"imr_*": "imr_full", "*": "full"})
    assert [sweep.reference(name) for name in names] == [None, None, "imr_full", "full"]


def test_patterns_choose_trials_in_their_order():
    sweep = Sweep((), tuple(map(Trial, ("full", "imr_a", "imr_b"))))
    assert [one.name for one in sweep.chosen("imr_*, full")] == ["full", "imr_a", "imr_b"]
    with pytest.raises(InputError, match=r"--only 'x\*': expected some of full, imr_a, imr_b"):
        sweep.chosen("x*")


def test_a_draw_that_came_before_is_left_out():
    """Ten draws of two values: two trials, and more draws change nothing."""
    trials = random({"model.gate": (True, False)}, 10)
    assert sorted(trial.changes["model.gate"] for trial in trials) == [False, True]
    assert random({"model.gate": (True, False)}, 50) == trials


def test_values_may_be_an_array():
    assert [one.changes for one in grid({"seed": np.arange(2)})] == [{"seed": 0}, {"seed": 1}]


@pytest.mark.parametrize(
    "axes", [{}, ["seed"], {"seed": {1: 2}}, {"seed": "abc"}, {"seed": ()}, {"seed": 3}]
)
def test_axes_are_lists_of_values(axes):
    for make in (grid, lambda some: random(some, 3)):
        with pytest.raises(InputError, match="expected"):
            make(axes)


@pytest.mark.parametrize("ends", [(0, 1, True), (2, 1), (0, float("inf"))])
def test_a_range_has_two_ends(ends):
    with pytest.raises(InputError, match="expected"):
        Between(*ends)
