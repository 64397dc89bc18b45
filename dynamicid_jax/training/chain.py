"""Several recipes one after the other, each on the model of the one before."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from etils import epath

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.training.export import NAME
from dynamicid_jax.training.loop import train


def run_chain(
    recipes: Sequence[tuple[str, TrainConfig]],
    workdir: epath.PathLike,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Trains every recipe in WORKDIR/<name>; those that are finished are left as they are.

    Args:
        recipes: (name, recipe), in order. The first keeps its own base, the others start from the model before.
        workdir: made if need be.
        say: is told what begins.

    Returns:
        the reports; fewer than recipes where a signal ended one of them.
    """
    reports: list[dict[str, Any]] = []
    before = ""
    for number, (name, recipe) in enumerate(recipes, 1):
        folder = epath.Path(workdir) / name
        config = replace(
            recipe, base=before or recipe.base, random_base="" if before else recipe.random_base
        )
        report = _finished(folder, config)
        if report is None:
            say(f"{number} of {len(recipes)}: {name}")
            report = train(config, folder)
        reports.append(report)
        if report["status"] != "finished":
            break
        before = str(folder / NAME)
    return reports


def _finished(folder: epath.Path, config: TrainConfig) -> dict[str, Any] | None:
    """The report of a run that has taken all its steps."""
    path = folder / "report.json"
    if not path.exists() or not (folder / NAME).is_dir():
        return None
    report = json.loads(path.read_text())
    done = report["status"] == "finished" and report["updates"]["done"] >= config.steps
    return report if done else None
