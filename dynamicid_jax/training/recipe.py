"""The recipe beside the checkpoints: a folder belongs to one, and a run goes on with no other."""

import json
from typing import Any

import jax
from etils import epath

from dynamicid_jax.config import TrainConfig, from_config_dict
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import to_dict
from dynamicid_jax.trees import flatten

NAME = "config.json"

FREE = (
    "steps",
    "minutes",
    "log",
    "checkpoint",
    "mesh",
    "data/workers",
    "data/prefetch",
    "data/max_damaged",
)
"""What may change from session to session: none of it changes what a step computes (with a cosine schedule `steps`
and `minutes` do, and they count as part of the recipe there)."""


def check_same(workdir: epath.Path, config: TrainConfig) -> None:
    """Refuses to go on in a folder with another recipe.

    Raises:
        InputError: keys that differ, each with both values, or keys that this version does not know.
    """
    path = workdir / NAME
    if not path.exists():
        return
    # Read as a recipe, so that a key which came to the library since then has its default: what the run did.
    before = _flat(to_dict(from_config_dict(json.loads(path.read_text()), str(path))))
    now = _flat(to_dict(config))
    free = FREE if config.optimizer.schedule == "constant" else FREE[2:]
    changed = [
        f"{key.replace('/', '.')} (was {before.get(key)!r}, is {now.get(key)!r})"
        for key in sorted(before | now)
        if before.get(key) != now.get(key)
        and not any(key == one or key.startswith(one + "/") for one in free)
    ]
    if changed:
        raise InputError(
            f"{workdir}: holds a run with another recipe; changed: {', '.join(changed)}. "
            "Take another --workdir, or the recipe as it was"
        )


def keep_recipe(workdir: epath.Path, config: TrainConfig) -> None:
    """Writes the recipe, once the folder is known to be this run's."""
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / NAME).write_text(json.dumps(to_dict(config), indent=2) + "\n")


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    return flatten(json.loads(json.dumps(values)))
