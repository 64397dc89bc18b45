"""What worker processes need so that they neither end before the training process nor outlive it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

POLL_SECONDS = 1.0


def parse_flags() -> None:
    """Grain hands absl's flags to its workers, and refuses where nobody has parsed any."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def living_with(parent: int) -> Callable[[int, int], None]:
    """What runs first in every worker of the process `parent`."""
    return partial(_live_with, parent)


def _live_with(parent: int, index: int, count: int) -> None:
    """Signals are the training process's business, and its death is the worker's.

    Ctrl-C and a scheduler's SIGTERM reach the whole process group; the training process then still takes the steps up
    to its checkpoint, for which it needs data. A training process that is killed cannot end its workers itself.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()
