"""Losses of trials over their updates: held-out ones where they were measured, else those of training."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from dynamicid_jax.sweeps.space import Sweep
from dynamicid_jax.training.curves import COLOURS, PANEL, Curve, plot
from dynamicid_jax.training.writers import METRICS, read_metrics
from dynamicid_jax.types import Number

MOST = len(COLOURS)  # curves of one panel
HELDOUT, TRAINING = "heldout/loss", "loss"


def panels(sweep: Sweep, out: Path) -> Iterator[Image.Image]:
    """A panel per recipe and few trials, in their order."""
    stems = dict.fromkeys(
        Path(recipe).stem for trial in sweep.trials for recipe in sweep.whole(trial).recipes
    )
    for stem in stems:
        folders = {trial.name: out / trial.name / stem for trial in sweep.trials}
        told = {
            name: read_metrics(folder)
            for name, folder in folders.items()
            if (folder / METRICS).is_file()
        }
        for loss, what in ((HELDOUT, "held-out loss"), (TRAINING, "loss")):
            curves = [one for name, lines in told.items() if (one := curve(name, lines, loss))]
            for start in range(0, len(curves), MOST):
                yield plot(curves[start : start + MOST], f"{stem}: {what}", size=PANEL)
            if curves:
                break


def curve(name: str, lines: Sequence[Mapping[str, Number]], loss: str) -> Curve | None:
    """One trial's; None with fewer than two points."""
    told = [line for line in lines if loss in line]
    if len(told) < 2:
        return None
    steps, values = [line["step"] for line in told], [line[loss] for line in told]
    return Curve(name, steps, values, smooth=loss == TRAINING)
