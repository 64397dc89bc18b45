"""Several recipes one after the other, each on the model of the one before.

WORKDIR/<name>/       an ordinary run for each recipe
WORKDIR/report.md     a table of what every stage did to its held-out loss, with
WORKDIR/curves.png    that loss over the updates, with the records' own faces and with other people's; for drawn
                      people also how far it rises with one attribute of the caption wrong
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
from etils import epath

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.training.curves import PANEL, Curve, plot, side_by_side
from dynamicid_jax.training.export import NAME
from dynamicid_jax.training.loop import train
from dynamicid_jax.training.rises import LOOKS_TITLE, TITLE, look_curves, rise_curves
from dynamicid_jax.training.writers import read_metrics
from dynamicid_jax.types import Number

_log = logging.getLogger("dynamicid_jax")


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
    if jax.process_index() == 0:
        _report(epath.Path(workdir), [name for name, _ in recipes], reports)
    return reports


def _report(folder: epath.Path, names: Sequence[str], reports: Sequence[dict[str, Any]]) -> None:
    """The chain's own table and curves; like a run's report, they never fail a finished run."""
    panels = []
    for name in names[: len(reports)]:
        lines = read_metrics(folder / name)
        if curves := heldout_curves(lines):
            panels.append(plot(curves, f"{name}: held-out loss", size=PANEL))
        if curves := rise_curves(lines):
            panels.append(plot(curves, f"{name}: {TITLE}", size=PANEL))
        if curves := look_curves(lines):
            panels.append(plot(curves, f"{name}: in faces, {LOOKS_TITLE}", size=PANEL))
    try:
        (folder / "report.md").write_text(table(names, reports, bool(panels)))
        if panels:
            with (folder / "curves.png").open("wb") as file:
                side_by_side(panels).save(file, format="PNG", optimize=True)
    except OSError as error:
        _log.warning("%s: the report cannot be written (%s)", folder, error.strerror or str(error))


def heldout_curves(lines: Sequence[Mapping[str, Number]]) -> list[Curve]:
    """Held-out loss over the updates, and the same records' under other people's faces with its interval."""
    told = [line for line in lines if "heldout/loss" in line]
    if len(told) < 2:
        return []
    steps, own = [line["step"] for line in told], [line["heldout/loss"] for line in told]
    rises = [
        [line.get(f"heldout/swapped_rise{end}", math.nan) for line in told]
        for end in ("", "_low", "_high")
    ]
    curves = [Curve("held-out", steps, own)]
    if not all(map(math.isnan, rises[0])):
        swapped, low, high = (
            [loss + rise for loss, rise in zip(own, values, strict=True)] for values in rises
        )
        curves.append(Curve("with other people's faces", steps, swapped, (low, high)))
    return curves


def table(names: Sequence[str], reports: Sequence[dict[str, Any]], pictured: bool) -> str:
    """report.md: what every stage did to its held-out loss; mean and 95 % interval over records."""
    rows = [
        "| recipe | updates | minutes | held-out loss before | after | change | rise with other people's faces |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, report in zip(names, reports, strict=False):
        held = report.get("held-out") or {}
        after, change = held.get("heldout/loss"), held.get("heldout/change")
        numbers = ["", "", "", ""]
        if after is not None and change is not None:
            numbers = [
                f"{after - change:.4f}",
                f"{after:.4f}",
                _with_interval(held, "heldout/change"),
                _with_interval(held, "heldout/swapped_rise"),
            ]
        minutes = f"{report['time']['total_seconds'] / 60:.1f}"
        cells = [name, str(report["updates"]["done"]), minutes, *numbers]
        rows.append(f"| {' | '.join(cells)} |")
    picture = ["", "![held-out loss](curves.png)"] if pictured else []
    return "\n".join(["# Chain", "", *rows, *picture]) + "\n"


def _with_interval(held: Mapping[str, Number], name: str) -> str:
    if name not in held:
        return ""
    return f"{held[name]:+.4f} ({held[f'{name}_low']:+.4f} to {held[f'{name}_high']:+.4f})"


def _finished(folder: epath.Path, config: TrainConfig) -> dict[str, Any] | None:
    """The report of a run that has taken all its steps."""
    path = folder / "report.json"
    if not path.exists() or not (folder / NAME).is_dir():
        return None
    report = json.loads(path.read_text())
    enough = config.minutes > 0 or report["updates"]["done"] >= config.steps
    return report if enough and report["status"] == "finished" else None
