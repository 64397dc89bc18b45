"""Goodput: the share of a run's time in which it learned.

    goodput = seconds of "step" / (seconds since the run began, all of its sessions and what they lost)

Every second of the training process belongs to one phase; what is under no phase is "other". Of nested phases the inner
one gets the time. A session that starts from a checkpoint continues the count kept in it, and adds as "lost" what
the broken session did after that checkpoint. Time in which nothing ran (a machine away) counts for neither.

The host's clock is what is read. It runs ahead of the device by a few steps at most (training/metrics.py), so over an
interval of many steps it tells the truth: waiting for the device is "step", waiting for the loader is "data".
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dynamicid_jax.types import Number

PRODUCTIVE = "step"
PAUSES = ("start", "restore", "compile", "checkpoint", "heldout", "pictures")
"""Phases that are not part of a step's own speed: images a second are counted without them."""

PHASES = (*PAUSES, PRODUCTIVE, "data", "log", "lost", "other")


class Goodput:
    """The clock of a run."""

    def __init__(self, clock: Callable[[], Number] = time.perf_counter) -> None:
        """Starts counting."""
        self._clock = clock
        self._begin = self._mark = clock()
        self._stack: list[str] = []
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._sessions = 1

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time inside as `name`, one of `PHASES`."""
        if name not in self._seconds:
            raise ValueError(f"phase {name!r}: expected one of {', '.join(PHASES)}")
        self._settle()
        self._stack.append(name)
        try:
            yield
        finally:
            self._settle()
            self._stack.pop()

    def seconds(self) -> dict[str, float]:
        """Seconds of every phase up to now, over all sessions."""
        self._settle()
        return dict(self._seconds)

    def total(self) -> float:
        """Seconds of all phases together, over all sessions."""
        return sum(self.seconds().values())

    def state(self, wall_time: Number | None = None) -> dict[str, Any]:
        """What a checkpoint keeps of it; plain JSON."""
        now = time.time() if wall_time is None else wall_time
        return {"seconds": self.seconds(), "sessions": self._sessions, "saved_at": now}

    def resume(self, state: Mapping[str, Any], last_seen: Number | None = None) -> None:
        """Continues the count of a checkpoint.

        Args:
            state: what `state` gave.
            last_seen: time (as of time.time) of the broken session's last sign of life, such as its last line of
                metrics; what lies between the checkpoint and it was lost.
        """
        for name, seconds in state["seconds"].items():
            self._seconds[name if name in self._seconds else "other"] += seconds
        self._sessions += state["sessions"]
        if last_seen is not None:
            self._seconds["lost"] += max(0.0, last_seen - state["saved_at"])

    def value(self) -> float:
        """Goodput up to now, in [0, 1]."""
        seconds = self.seconds()
        return seconds[PRODUCTIVE] / max(sum(seconds.values()), 1e-9)

    def summary(self) -> dict[str, Any]:
        """Totals for the report: seconds and shares of the phases that took any time."""
        seconds = {name: spent for name, spent in self.seconds().items() if spent > 0}
        total = max(sum(seconds.values()), 1e-9)
        return {
            "goodput": self.value(),
            "total_seconds": total,
            "sessions": self._sessions,
            "seconds": seconds,
            "shares": {name: spent / total for name, spent in seconds.items()},
        }

    def _settle(self) -> None:
        """Gives the time since the last call to the innermost phase."""
        now = self._clock()
        self._seconds[self._stack[-1] if self._stack else "other"] += now - self._mark
        self._mark = now
