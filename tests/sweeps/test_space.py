"""Sweeps as values: grids, draws, names, references; what a file may not say."""

from pathlib import Path

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.sweeps.space import Between, Sweep, Trial, grid, random, read_sweep


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


HEAD = "from dynamicid_jax.sweeps.space import Sweep, Trial\ndef get_sweep():\n    return "


def test_changes_alone_are_a_sweep_of_recipes_to_be_named(tmp_path: Path):
    file = tmp_path / "sweep.py"
    file.write_text("def get_sweep():\n    for seed in range(3):\n        yield {'seed': seed}\n")
    sweep = read_sweep(file)
    assert [trial.changes for trial in sweep.trials] == [{"seed": seed} for seed in range(3)]
    assert sweep.recipes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("x = 1", r"has no get_sweep\(\)"),
        ("def get_sweep(:", "line 1 is no Python"),
        (HEAD + "[]", "has no trials"),
        (HEAD + "7", r"gave a int; expected a Sweep"),
        (HEAD + "['steps']", r"gave a list; expected a Sweep"),
        (HEAD + "Sweep((), ())", "has no trials"),
        (HEAD + "Sweep((), (Trial('a'), Trial('a')))", "two trials are called 'a'"),
        (HEAD + "Sweep((), (Trial('../a'),))", "expected a name of letters"),
        (HEAD + "Sweep((), (Trial('a'),), references={'*': 'b'})", "reference 'b': expected"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str | None, message: str):
    file = tmp_path / "sweep.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_sweep(file)
    assert "\n" not in str(error.value)
