"""Being asked to stop: SIGTERM (a preemption, `kubectl delete`, `scancel`) or Ctrl-C.

    first signal     the step that runs is finished; `stop_requested` becomes true, the loop saves and leaves with 0
    second signal    the process ends at once

With several processes the signal may reach any of them, at any step. JAX's preemption service then names a step that
none has passed yet, and `stop_requested` is true at that step on all of them, so that all save the same one. JAX holds
SIGTERM until then: a second SIGTERM counts from the saving on (Ctrl-C counts at any time).
"""

import logging
import os
import signal
from types import FrameType, TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils

log = logging.getLogger("dynamicid_jax")


class Preemption:
    """Listens for the signals from creation (in the main thread, after `distributed.initialise`) until `close`."""

    def __init__(self) -> None:
        """Installs the handlers; what was there before comes back with `close`."""
        self._several = jax.process_count() > 1
        self._signal = 0
        self._told = False
        self._before: dict[int, Any] = {}
        # With several processes SIGTERM is handled inside JAX, from `jax.distributed.initialize` on.
        signals = [signal.SIGINT] if self._several else [signal.SIGINT, signal.SIGTERM]
        for number in signals:
            self._before[number] = signal.signal(number, self._heard)

    def stop_requested(self, step: int) -> bool:
        """Whether to save and leave after this step; to be asked once per step, by all processes.

        Args:
            step: updates done; the same number everywhere.
        """
        stop = self._signal != 0
        if self._several:
            stop = multihost_utils.reached_preemption_sync_point(step)
        if stop and not self._told:
            name = signal.Signals(self._signal).name if self._signal else "SIGTERM"
            log.warning("%s: saving step %d, then the run ends; it can be resumed", name, step)
            self._told = True
            if self._several:
                # from here on a further one, of either kind, ends this process
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._heard)
                self._signal = signal.SIGTERM
        return stop

    def close(self) -> None:
        """Puts the handlers back that were there before."""
        for number, handler in self._before.items():
            # None: a handler of JAX's, which Python cannot put back; the run is over, so the system's own will do
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def __enter__(self) -> "Preemption":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _heard(self, number: int, _: FrameType | None) -> None:
        if self._signal:
            os._exit(128 + number)  # what a shell reports for a process that a signal ended
        self._signal = number
        if self._several:
            os.kill(os.getpid(), signal.SIGTERM)  # JAX tells the other processes
