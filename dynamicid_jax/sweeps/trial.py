"""A trial as ordinary commands in a folder of its own.

DIR/<trial>/<recipe>/      an ordinary run of each recipe (`dynamicid chain`)
DIR/<trial>/results/       an ordinary evaluation of the last one's model (`dynamicid evaluate`)
DIR/<trial>/job.json ...   the commands and what became of them (jobs/job.py)
DIR/sweep.json             all rows of the sweep, those not run too
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from dynamicid_jax.config import read_recipe
from dynamicid_jax.convert.model_folder import FACE_PACK
from dynamicid_jax.data.world import is_world
from dynamicid_jax.errors import InputError
from dynamicid_jax.files import save_json
from dynamicid_jax.jobs.job import Command, write_job
from dynamicid_jax.jobs.words import options
from dynamicid_jax.packaged import MINI, model_path
from dynamicid_jax.sweeps.files import check_kinds, check_recipes
from dynamicid_jax.sweeps.space import Sweep, Trial

SWEEP, RESULTS = "sweep.json", "results"
CHAIN, EVALUATE = "train", "evaluate"
MODEL = "model"  # what a run of train.py leaves


def check(sweep: Sweep, trials: Sequence[Trial], overrides: Sequence[str]) -> None:
    """Looks at every recipe of some trials.

    Args:
        sweep: all rows.
        trials: those that are to run.
        overrides: "key=value", of all trials.

    Raises:
        InputError: none, one that is named twice, or a recipe or a key that is not usable.
    """
    for trial in trials:
        whole = sweep.whole(trial)
        if not whole.recipes:
            raise InputError("--recipes: the sweep names none; give recipes from configs/")
        check_recipes(whole.recipes, f"trial {whole.name!r}")
        for recipe in whole.recipes:
            read_recipe(recipe, _overrides(whole, overrides))


def prepare(sweep: Sweep, trials: Sequence[Trial], out: Path, overrides: Sequence[str]) -> None:
    """Writes DIR/sweep.json and the folders of some trials; arguments as `check`.

    Raises:
        InputError: a folder that holds another trial.
        OutputError: a folder cannot be written.
    """
    for trial in trials:
        whole = sweep.whole(trial)
        write_job(out / whole.name, commands(whole, out / whole.name, overrides))
    save_json(dataclasses.asdict(sweep), out / SWEEP)


def read_rows(out: Path) -> Sweep:
    """The sweep that was written to a folder.

    Raises:
        InputError: there is none.
    """
    try:
        values = json.loads((out / SWEEP).read_text("utf-8"))
        trials = tuple(
            Trial(**{**one, "recipes": tuple(one["recipes"])}) for one in values["trials"]
        )
        lists = {name: tuple(values[name]) for name in ("recipes", "shown")}
        sweep = Sweep(**{**values, **lists, "trials": trials})
        check_kinds(sweep, str(out / SWEEP))
        return sweep
    except (OSError, ValueError, TypeError, LookupError):
        raise InputError(
            f"{out}: holds no {SWEEP}; run the sweep first, or give --sweep FILE"
        ) from None


def commands(trial: Trial, folder: Path, overrides: Sequence[str] = ()) -> list[Command]:
    """What a trial runs, as one would type it.

    Args:
        trial: with what the sweep says for all.
        folder: the trial's.
        overrides: "key=value", of all trials; they come after the trial's own.
    """
    recipes = [str(Path(recipe).resolve()) for recipe in trial.recipes]
    changes = [f"--config.{one}" for one in _overrides(trial, overrides)]
    folder = folder.resolve()
    model = f"{Path(recipes[-1]).stem}/{MODEL}"
    chain = ("dynamicid", "chain", *recipes, "--workdir", str(folder), *changes)
    evaluate = (
        *("dynamicid", "evaluate", "--model", str(folder / model), "--out", str(folder / RESULTS)),
        *evaluation_words(trial),
    )
    return [
        Command(CHAIN, chain, model),
        Command(EVALUATE, evaluate, f"{RESULTS}/results.json"),
    ]


def evaluation_words(trial: Trial) -> list[str]:
    """Options of a whole trial's evaluation; "mini" as a pack is the packaged model's."""
    values = dict(trial.evaluate)
    if values.get(FACE_PACK) == MINI:
        values[FACE_PACK] = model_path(MINI) / FACE_PACK
    return options(values)


def datasets(trial: Trial, overrides: Sequence[str]) -> tuple[str, ...]:
    """Prepared datasets that a whole trial's recipes draw from, in their order; the world's pictures are none.

    Raises:
        InputError: a recipe or a key that is not usable.
    """
    configs = [read_recipe(recipe, _overrides(trial, overrides)) for recipe in trial.recipes]
    sources = [source for config in configs for source in config.data.sources]
    return tuple(dict.fromkeys(one.path for one in sources if not is_world(one)))


def _overrides(trial: Trial, overrides: Sequence[str]) -> list[str]:
    return [*(f"{key}={value!r}" for key, value in trial.changes.items()), *overrides]
