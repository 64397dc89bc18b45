"""What a run looks at from time to time, apart from its own loss: held-out records and sample pictures."""

from typing import Any

import numpy as np
from PIL import Image

from dynamicid_jax.training.heldout import interval
from dynamicid_jax.training.pictures import Sheet
from dynamicid_jax.training.setup import Setup
from dynamicid_jax.training.state import join, split
from dynamicid_jax.types import Params


class Checks:
    """The held-out loss against its first measurement, and a sheet of pictures."""

    def __init__(self, setup: Setup) -> None:
        """Nothing is measured yet."""
        self._setup, self._log = setup, setup.config.log
        self._first: np.ndarray | None = None
        self._summary: dict[str, Any] = {}
        self._sheet: Sheet | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the first measurement, to which later ones are paired."""
        first = None if self._first is None else [float(value) for value in self._first]
        return {"first": first, "summary": self._summary}

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from `state`."""
        self._first = None if state["first"] is None else np.array(state["first"], np.float32)
        self._summary = state["summary"]

    def summary(self) -> dict[str, Any]:
        """The last measurement, for the report."""
        return self._summary

    def heldout_due(self, step: int, last: bool) -> bool:
        """Before the first step, at early looks, every so many, and after the last."""
        if self._setup.heldout is None:
            return False
        return due(step, self._log.heldout_every, self._log.first_look, last)

    def pictures_due(self, step: int, last: bool) -> bool:
        """Before the first step, at early looks, every so many, and after the last."""
        return due(step, self._log.pictures_every, self._log.first_look, last)

    def heldout(self, step: int, best: Params) -> dict[str, float]:
        """Measures; the numbers to log."""
        held, frozen = self._setup.heldout, self._setup.frozen
        assert held is not None
        own = held.losses(frozen, best)
        values = {f"heldout/{name}": float(rows.mean()) for name, rows in own.items()}
        for name, variant in held.variants.items():
            for kind, rows in held.losses(frozen, best, variant).items():
                rise = interval(rows - own[kind])
                values |= _named(f"heldout/{kind.removesuffix('loss')}{name}", rise)
        losses = own["loss"]
        if self._first is None or len(self._first) != len(losses):
            self._first = losses
        values |= _named("heldout/change", interval(losses - self._first))
        self._summary = {"step": step, "records": len(losses)} | values
        return values

    def draw(self, step: int, best: Params) -> Image.Image | None:
        """The sheet; None where there is nothing to draw."""
        setup = self._setup
        if self._sheet is None:
            self._sheet = setup.sheet()
        if self._sheet is None:
            return None
        return self._sheet.draw(self._whole(best), step)

    def _whole(self, best: Params) -> Params:
        """All components: those on the devices as they are, what precomputed features replace from the host."""
        setup = self._setup
        _, _, rest = split(setup.base.weights, setup.program.stage)
        spare = {part: tree for part, tree in rest.items() if part not in setup.frozen["weights"]}
        return join(best, setup.frozen["weights"], spare)


def due(step: int, every: int, first: int, last: bool = False) -> bool:
    """Whether it is time: at multiples of `every`, before them at first, 2 first, 4 first, ..., and at the end.

    Args:
        step: from 0 on.
        every: 0 never looks.
        first: 0 knows no early times.
        last: whether the run ends here.
    """
    if every <= 0 or last or step % every == 0:
        return every > 0
    looks, rest = divmod(step, first) if first > 0 else (0, 1)
    return step < every and rest == 0 and looks.bit_count() == 1


def _named(name: str, numbers: tuple[float, float, float]) -> dict[str, float]:
    mean, low, high = numbers
    return {name: mean, f"{name}_low": low, f"{name}_high": high}
