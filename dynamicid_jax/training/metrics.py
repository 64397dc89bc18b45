"""A step's numbers on the device to an interval's line of numbers, without holding up the loop.

A step returns a flat dict of scalars. Over the N steps of an interval a name stands for

    "X_sum/b" with "X_count/b"   "X/b" = sum of X_sum / sum of X_count; left out where the count is 0 (an empty
                                 timestep bucket); "/b" may be missing
    "X_max"                      the greatest
    a name of `LAST`             the last: running counts and what follows a plan
    any other                    the mean

each over the steps in which it was finite. To these come, per interval,

    speed/images_per_second     examples of the batches / (seconds - pauses)
    speed/tflops_per_device     FLOPs of the steps / (seconds - pauses) / devices / 1e12
    speed/mfu                   the same over the device's peak (training/devices.py); left out where that is unknown
    speed/data_wait             share of (seconds - pauses) in which the loop waited for the loader
    speed/goodput               of the whole run so far (training/goodput.py)

Pauses are checkpoints, held-out losses, pictures and compilation.

The loop may run `AHEAD` steps before the device. A step's numbers are packed into one vector, fetched when the step is
that old, and the interval's line comes when its last step is. Waiting for an old step is what keeps the loop from
running further ahead, so it is counted as "step".
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynamicid_jax.training.devices import Device, of
from dynamicid_jax.training.goodput import PAUSES, PRODUCTIVE, Goodput
from dynamicid_jax.types import Number

AHEAD = 2
LAST = ("skipped", "bad", "learning_rate")


@dataclass(frozen=True)
class Line:
    """The numbers of one interval, which ends with `step`."""

    step: int
    values: dict[str, float]


class Meter:
    """Collects the numbers of the steps, gives a line per interval."""

    def __init__(
        self,
        *,
        every: int,
        batch_size: int,
        goodput: Goodput,
        flops_per_step: Number | None = None,
        devices: int | None = None,
        device: Device | None = None,
        on_step: Callable[[int, dict[str, float]], None] | None = None,
        clock: Callable[[], Number] = time.perf_counter,
    ) -> None:
        """Starts an interval.

        Args:
            every: lines come after steps that this divides.
            batch_size: pictures of a step over all devices (in grouped batches: persons times pictures of each).
            goodput: the run's clock.
            flops_per_step: arithmetic of one update over all devices; None: no TFLOP/s.
            devices: how many compute; None: all of JAX's.
            device: their peak; None: looked up.
            on_step: is told the numbers of every single step once it is `AHEAD` steps old, not finite ones included.
            clock: seconds.
        """
        self._every, self._batch_size, self._goodput = every, batch_size, goodput
        self.flops_per_step = flops_per_step
        self._devices = devices or jax.device_count()
        self._peak = device or of(jax.devices()[0])
        self._on_step, self._clock = on_step, clock
        self._pending: deque[tuple[int, list[str], Array]] = deque()
        self._rows: list[dict[str, float]] = []
        self._last = 0
        self.restart_clock()

    def add(self, step: int, metrics: Mapping[str, Array]) -> Line | None:
        """Takes the scalars of a step that was just dispatched; the line of an interval that is complete by now."""
        names = sorted(metrics)
        # One small vector on this process's own device: one transfer a step instead of one per name.
        packed = _pack([_own(metrics[name]) for name in names])
        packed.copy_to_host_async()
        self._pending.append((step, names, packed))
        return self._retire() if len(self._pending) > AHEAD else None

    def settle(self) -> list[Line]:
        """Waits for the steps dispatched so far; lines of intervals that end with them.

        Before a checkpoint: it waits for them anyway, and a run that goes on from it will not tell these lines again.
        """
        lines = [self._retire() for _ in range(len(self._pending))]
        return [line for line in lines if line is not None]

    def finish(self) -> list[Line]:
        """The same at the end, with a line for an interval cut short."""
        lines = self.settle()
        return [*lines, self._close(self._last)] if self._rows else lines

    def restart_clock(self) -> None:
        """Begins an interval now."""
        self._begin, self._spent = self._clock(), self._goodput.seconds()

    def _retire(self) -> Line | None:
        """Fetches the oldest step."""
        step, names, packed = self._pending.popleft()
        self._last = step
        with self._goodput.phase(PRODUCTIVE):
            numbers = jax.device_get(packed)
        row = dict(zip(names, numbers.tolist(), strict=True))
        self._rows.append(row)
        if self._on_step is not None:
            self._on_step(step, row)
        return self._close(step) if step % self._every == 0 else None

    def _close(self, step: int) -> Line:
        values = average(self._rows) | self._speed(len(self._rows))
        self._rows = []
        self.restart_clock()
        return Line(step, values)

    def _speed(self, steps: int) -> dict[str, float]:
        now = self._goodput.seconds()
        spent = {name: now[name] - self._spent[name] for name in now}
        seconds = self._clock() - self._begin - sum(spent[name] for name in PAUSES)
        seconds = max(seconds, 1e-9)
        values = {
            "speed/images_per_second": steps * self._batch_size / seconds,
            "speed/steps_per_second": steps / seconds,
            "speed/data_wait": min(1.0, spent["data"] / seconds),
            "speed/goodput": self._goodput.value(),
        }
        if self.flops_per_step:
            rate = self.flops_per_step * steps / seconds / self._devices
            values["speed/tflops_per_device"] = rate / 1e12
            if self._peak is not None:
                values["speed/mfu"] = rate / self._peak.peak_flops
        return values


def average(rows: list[dict[str, float]]) -> dict[str, float]:
    """The numbers of several steps as one, by the rules above."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    values: dict[str, float] = {}
    for name, column in columns.items():
        stem, kind, bucket = _parts(name)
        if kind == "sum" and f"{stem}_count{bucket}" in columns:
            counts = columns[f"{stem}_count{bucket}"]
            if (ratio := _ratio(column, counts)) is not None:
                values[stem + bucket] = ratio
        elif not (kind == "count" and f"{stem}_sum{bucket}" in columns):
            values[name] = _one(name, kind, column)
    return values


def _parts(name: str) -> tuple[str, str, str]:
    """Stem, kind and bucket: "loss_sum/t0" is ("loss", "sum", "/t0")."""
    whole, slash, bucket = name.partition("/")
    stem, _, kind = whole.rpartition("_")
    return stem, kind, slash + bucket


def _ratio(sums: list[float], counts: list[float]) -> float | None:
    """Sum over sum, of the steps in which both are finite; None where nothing was counted."""
    pairs = zip(sums, counts, strict=True)
    whole = [(x, n) for x, n in pairs if math.isfinite(x) and math.isfinite(n)]
    count = sum(n for _, n in whole)
    return sum(x for x, _ in whole) / count if count > 0 else None


def _one(name: str, kind: str, column: list[float]) -> float:
    """Last, greatest or mean of a column."""
    if name in LAST:
        return column[-1]
    finite = [x for x in column if math.isfinite(x)]
    if not finite:
        return math.nan
    return max(finite) if kind == "max" else sum(finite) / len(finite)


def _own(value: Any) -> Any:
    """This process's copy of a scalar that all devices hold; no other process takes part in reading it."""
    return value.addressable_data(0) if isinstance(value, jax.Array) else np.float32(value)


@jax.jit
def _pack(values: list[Any]) -> Float[Array, "n"]:
    return jnp.stack([jnp.asarray(value, jnp.float32) for value in values])
