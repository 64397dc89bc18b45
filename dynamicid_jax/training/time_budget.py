"""How many updates fit into a given time: a run with `minutes` ends when they are over, wherever it is by then.

    share    = seconds of learning so far / (all seconds - seconds of everything else so far)
    updates  = steps so far / share          where the cosine of the learning rate is to end; told anew with every line

Learning is waiting for steps, batches and logs; everything else is starting, compiling, measuring, saving. All
sessions of a run count. Such a run depends on the machine's speed: it is not bit for bit the same twice.
"""

import jax

from dynamicid_jax.errors import InputError
from dynamicid_jax.training.goodput import Goodput

LEARNING = ("step", "data", "log")


class TimeBudget:
    """The time of one run."""

    def __init__(self, minutes: float, most: int, goodput: Goodput) -> None:
        """Starts with what the clock says.

        Args:
            minutes: for the whole run; 0: there is no such limit.
            most: updates that are taken at most.
            goodput: the run's clock.

        Raises:
            InputError: a limit for several processes, whose clocks would disagree.
        """
        if minutes and jax.process_count() > 1:
            raise InputError("minutes: several processes cannot share a clock; give steps instead")
        self._seconds, self._most, self._goodput = 60.0 * minutes, most, goodput

    def over(self, step: int) -> bool:
        """Whether `step` was the last one."""
        late = self._seconds > 0 and self._goodput.total() >= self._seconds
        return late or step >= self._most

    def updates(self, step: int) -> int:
        """How many updates there will have been, by the speed up to `step`."""
        spent = self._goodput.seconds()
        learning = sum(spent[name] for name in LEARNING)
        if not self._seconds or step == 0 or learning <= 0:
            return self._most
        room = self._seconds - (sum(spent.values()) - learning)
        return min(max(round(step * room / learning), step), self._most)
