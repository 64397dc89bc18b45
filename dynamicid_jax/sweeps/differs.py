"""In what the trials of a sweep differ: keys of their recipes, the recipes themselves, options of their evaluations."""

from collections.abc import Mapping
from typing import Any

from dynamicid_jax.sweeps.space import Sweep, Trial

RECIPES, EVALUATE = "recipes", "evaluate."


def differences(sweep: Sweep) -> dict[str, Mapping[str, Any]]:
    """By trial, its values of what is not the same in all; "" where it says nothing of a key.

    Keys are those of recipes, then "recipes", then "evaluate.OPTION".
    """
    said = {one.name: _said(sweep.whole(one)) for one in sweep.trials}
    keys = dict.fromkeys(key for values in said.values() for key in values)
    order = sorted(keys, key=lambda key: (key == RECIPES) + 2 * key.startswith(EVALUATE))
    apart = [key for key in order if len({repr(one.get(key)) for one in said.values()}) > 1]
    return {name: {key: values.get(key, "") for key in apart} for name, values in said.items()}


def _said(trial: Trial) -> dict[str, Any]:
    options = {f"{EVALUATE}{key}": value for key, value in trial.evaluate.items()}
    recipes = {RECIPES: ", ".join(map(str, trial.recipes))} if trial.recipes else {}
    return {**trial.changes, **recipes, **options}
