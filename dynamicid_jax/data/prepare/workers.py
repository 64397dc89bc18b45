"""Looking at many photographs at once: processes, each with its own networks on one thread."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from dynamicid_jax.data.prepare.journal import Journal
from dynamicid_jax.data.prepare.look import Looker
from dynamicid_jax.data.prepare.scan import Photo
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.errors import OutputError

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

_AHEAD = 4  # photographs handed out per process before one comes back
_worker: dict[str, tuple[Looker, Journal]] = {}  # a worker process's own networks, made once


def look_at_all(
    photos: Sequence[Photo],
    settings: Settings,
    journal: Journal,
    *,
    whole: bool,
    landmark_set: int,
    progress: Progress,
) -> int:
    """Looks at every photograph that the journal lacks; returns how many those were.

    Raises:
        OutputError: a process died (out of memory, as a rule).
    """
    missing = [photo for photo in photos if not journal.has(photo)]
    done, total = len(photos) - len(missing), len(photos)
    progress("photos", done, total)
    if not missing:
        return 0
    processes = min(settings.processes or os.cpu_count() or 1, len(missing))
    if processes == 1:
        looker = Looker(settings, whole, landmark_set)
        for photo in missing:
            journal.save(photo, looker(photo))
            progress("photos", done := done + 1, total)
        return len(missing)
    start = (settings, whole, landmark_set, journal, os.getpid())
    context = multiprocessing.get_context("spawn")  # a fork would copy locks held by other threads
    pool = ProcessPoolExecutor(processes, context, _start, start)
    try:
        waiting: set[Future[None]] = set()
        for photo in missing:
            waiting.add(pool.submit(_look, photo))
            while len(waiting) >= _AHEAD * processes:
                waiting, done = _collect(waiting, done)
                progress("photos", done, total)
        while waiting:
            waiting, done = _collect(waiting, done)
            progress("photos", done, total)
    except BrokenProcessPool:
        raise OutputError(
            f"prepare: a worker process was ended from outside, perhaps for want of memory; {done} of {total} photos "
            "are finished and kept: start again, with fewer --processes if it happens again"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return len(missing)


def _collect(waiting: set["Future[None]"], done: int) -> tuple[set["Future[None]"], int]:
    """Takes what is finished out of what is waited for."""
    finished, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for one in finished:
        one.result()
    return rest, done + len(finished)


def _start(
    settings: Settings, whole: bool, landmark_set: int, journal: Journal, parent: int
) -> None:
    """Makes a worker process ready."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    _worker["own"] = (Looker(settings, whole, landmark_set), journal)


def _look(photo: Photo) -> None:
    looker, journal = _worker["own"]
    journal.save(photo, looker(photo))


def _follow(parent: int) -> None:
    """Ends this process when its parent is gone: killed, it could not say so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
