"""Trials on this machine, one after the other or a few beside each other."""

import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from dynamicid_jax.errors import InputError
from dynamicid_jax.sweeps.launch import Resources, Say, attend, verdict


def run_local(
    out: Path, names: Sequence[str], jobs: int, retries: int, resources: Resources, say: Say
) -> None:
    """Runs trials, `jobs` at a time; one that fails stops no other.

    With GPUs (or TPU chips) per trial, every place has its own: place 0 the first ones, and so on.

    Raises:
        InputError: a part of a GPU; only Ray shares them.
        KeyboardInterrupt: after the running trials have saved and left.
    """
    if resources.gpus % 1:
        raise InputError(
            f"--gpus {resources.gpus}: the local launcher gives whole ones; give 0, 1, ..."
        )
    places: queue.Queue[int] = queue.Queue()
    for place in range(jobs):
        places.put(place)
    stop = threading.Event()

    def one(name: str) -> str:
        place = places.get()
        try:
            if stop.is_set():
                return f"{name}: not begun"
            say(f"{name}: begins")
            devices = visible_devices(place, resources)
            return verdict(name, attend(out, name, retries, stop, devices))
        finally:
            places.put(place)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for done, future in enumerate(
                as_completed(pool.submit(one, name) for name in names), 1
            ):
                say(f"{done} of {len(names)}: {future.result()}")
        except BaseException:
            stop.set()
            raise


def visible_devices(place: int, resources: Resources) -> dict[str, str]:
    """Variables by which a place's processes see their own devices only; none where none are asked for."""
    made: dict[str, str] = {}
    for variable, count in (
        ("CUDA_VISIBLE_DEVICES", int(resources.gpus)),
        ("TPU_VISIBLE_CHIPS", resources.tpus),
    ):
        if count:
            numbers = range(place * count, (place + 1) * count)
            given = os.environ.get(variable)
            own = given.split(",") if given else None  # those that we may use ourselves
            made[variable] = ",".join(own[n] if own and n < len(own) else str(n) for n in numbers)
    return made
