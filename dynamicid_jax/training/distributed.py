"""Several processes as one run: found from the launcher's environment, and stopped together.

    environment                                               set by
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES,               hand, or a JobSet (docs/TPU.md)
        JAX_PROCESS_ID or JOB_COMPLETION_INDEX
    SLURM_PROCID and its relatives, more than one task        srun
    OMPI_COMM_WORLD_SIZE above 1                              mpirun
    TPU chips in this machine                                 a TPU VM; JAX asks its metadata
    none of these                                             one process: nothing to do

A run of several processes is one program: when one dies, the others can only wait for it. `running` makes them stop
with one line instead (training/watchdog.py).
"""

import glob
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from dynamicid_jax.errors import DynamicIDError, InputError
from dynamicid_jax.training.watchdog import Watchdog

PEER_TIMEOUT = 100  # seconds of silence after which a process counts as dead; JAX's own default
LAST_WORDS = 5  # seconds that a failing process leaves the watchdog to say why

SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")

_watchdog: Watchdog | None = None


@contextmanager
def running(peer_timeout: int = PEER_TIMEOUT) -> Iterator[None]:
    """`initialise`, and an error in one process ends the others, too.

    Args:
        peer_timeout: seconds after which a silent process counts as dead.
    """
    initialise(peer_timeout)
    try:
        yield
    except BaseException as error:
        if _watchdog is not None:
            _give_up(_watchdog, error)
        raise


def initialise(peer_timeout: int = PEER_TIMEOUT) -> None:
    """Joins the processes that the launcher started; must come before anything that asks JAX for devices.

    Args:
        peer_timeout: seconds after which a silent process counts as dead.

    Raises:
        InputError: the environment names a coordinator but not all that is needed, or the processes do not meet.
    """
    global _watchdog
    if _watchdog is not None or (arguments := _from_environment(os.environ)) is None:
        return
    try:
        # twice: the watchdog's clear line shall come first
        jax.distributed.initialize(**arguments, heartbeat_timeout_seconds=2 * peer_timeout)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the processes of this run did not find each other: {reason}; check that all were started, and "
            "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID (docs/TPU.md)"
        ) from None
    if jax.process_count() > 1:
        _watchdog = Watchdog(peer_timeout)


def from_first(make: Callable[[], Any]) -> Any:
    """What `make` returns in process 0, in every process; it goes there as JSON.

    Raises:
        DynamicIDError: `make` failed in process 0.
    """
    if jax.process_count() == 1:
        return make()
    text, error = b"", None
    if jax.process_index() == 0:
        try:
            text = json.dumps({"value": make()}).encode()
        except DynamicIDError as failure:
            error = failure
            text = json.dumps({"error": str(failure)}).encode()
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    mine = np.frombuffer(text or bytes(length), np.uint8)
    answer = json.loads(multihost_utils.broadcast_one_to_all(mine).tobytes())
    if error is not None:
        raise error
    if "error" in answer:
        raise DynamicIDError(answer["error"])
    return answer["value"]


def _from_environment(environment: Any) -> dict[str, Any] | None:
    """Arguments of `jax.distributed.initialize`; None for a process of its own."""
    if address := environment.get("JAX_COORDINATOR_ADDRESS"):
        count = _number(environment, ("JAX_NUM_PROCESSES",))
        if count == 1:
            return None
        index = _number(environment, ("JAX_PROCESS_ID", "JOB_COMPLETION_INDEX"))
        if not 0 <= index < count:
            raise InputError(
                f"JAX_PROCESS_ID={index}: must be from 0 to JAX_NUM_PROCESSES - 1, which is {count - 1}"
            )
        return {"coordinator_address": address, "num_processes": count, "process_id": index}
    slurm = all(name in environment for name in SLURM)
    tasks = (
        environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS")) if slurm else None
    )
    sizes = (tasks, environment.get("OMPI_COMM_WORLD_SIZE"))
    if any(size and size.isdecimal() and int(size) > 1 for size in sizes):
        return {}
    return {} if _on_tpu_machine(environment) else None


def _number(environment: Any, names: tuple[str, ...]) -> int:
    text = next((environment[name] for name in names if environment.get(name)), "")
    if not text.isdecimal():
        raise InputError(
            f"{names[0]}={text!r}: JAX_COORDINATOR_ADDRESS is set, so this must be a whole number, "
            "and JAX_NUM_PROCESSES and JAX_PROCESS_ID must both be there"
        )
    return int(text)


def _on_tpu_machine(environment: Any) -> bool:
    """Whether chips are here that JAX is going to use; planning for a TPU on another machine does not count."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and "tpu" not in platforms:
        return False
    chips = glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*")
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def _give_up(watchdog: Watchdog, error: BaseException) -> None:
    """Tells the others why this process fails, and sees to it that leaving does not wait for them."""
    if isinstance(error, SystemExit) and not error.code:
        return
    if isinstance(error, jax.errors.JaxRuntimeError):
        # Most likely the consequence of another process's death: if so, the watchdog ends this process here.
        time.sleep(LAST_WORDS)
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    watchdog.fail(reason)
    code = 2 if isinstance(error, DynamicIDError) else 1
    _leave_at_exit(code)


def _leave_at_exit(code: int) -> None:
    """Ends with a code without `jax.distributed.shutdown`, which would wait minutes for the others."""
    import atexit

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # registered last, so it runs first
