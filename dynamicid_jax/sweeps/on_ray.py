"""Trials as Ray tasks: on this machine, or on a cluster whose nodes see the same folder and have this package.

A task only starts the trial's process and waits. A worker that is killed takes its trial's process along (the process
watches it), and Ray starts the task again elsewhere; the trial goes on after its last checkpoint.
"""

import logging
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.jobs.job import read_state, write_state
from dynamicid_jax.sweeps.launch import Resources, Say, attend, verdict

LOCAL = "local"
STORE = 100 * 2**20  # bytes for objects that tasks hand each other, which are a few words here


def run_ray(
    out: Path,
    names: Sequence[str],
    address: str,
    jobs: int | None,
    retries: int,
    resources: Resources,
    say: Say,
) -> None:
    """Runs trials as Ray tasks; one that fails stops no other.

    Args:
        out: the sweep's folder, on a disk that all nodes see.
        names: the trials.
        address: of a cluster ("auto", "HOST:PORT", "ray://HOST:PORT"), or "local" for one on this machine.
        jobs: how many may run at a time; None: as many as resources allow.
        retries: of killed workers, and of failed commands.
        resources: of one trial.
        say: is told what ends.

    Raises:
        InputError: no cluster at the address, or none that has what a trial asks for.
        MissingPartError: Ray is not installed.
    """
    ray = _connect(address)
    try:
        _check_resources(ray, resources)
        task = ray.remote(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            resources={"TPU": resources.tpus} if resources.tpus else None,
            max_retries=retries,
            max_calls=1,  # a worker lives for one trial, so that nothing of it stays in memory
        )(_trial)
        waiting, ended = list(names), 0
        running: dict[Any, str] = {}
        while waiting or running:
            while waiting and (jobs is None or len(running) < jobs):
                name = waiting.pop(0)
                running[task.remote(str(out.resolve()), name, retries)] = name
            ready, _ = ray.wait(list(running), timeout=1.0)
            for reference in ready:
                name = running.pop(reference)
                ended += 1
                say(f"{ended} of {len(names)}: {_outcome(ray, reference, out, name)}")
    finally:
        ray.shutdown()


def _trial(out: str, name: str, retries: int) -> None:
    """Runs in a worker."""
    attend(Path(out), name, retries)


def _outcome(ray: Any, reference: Any, out: Path, name: str) -> str:
    """One line; a task that was lost for good is written down as a failed trial."""
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        why = f"Ray lost it: {type(error).__name__}"
        write_state(out / name, read_state(out / name), status="failed", error=why)
    return verdict(name, read_state(out / name))


def _connect(address: str) -> Any:
    """The ray module, connected."""
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingPartError(
            "--launcher ray needs Ray: pip install 'dynamicid-jax[sweep]', or take --launcher local"
        ) from None
    _check_reachable(address)
    options: dict[str, Any] = {"address": address}
    if address == LOCAL:
        options |= {"object_store_memory": STORE, "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _no_cluster(address, reason) from None
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself would knock for minutes at a door that is not there."""
    match = re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)
    if match is None:  # "auto", "local": Ray looks for itself
        return
    try:
        with socket.create_connection((match[1], int(match[2])), timeout=10):
            pass
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster there ({reason}); start one with `ray start --head`, or leave the option "
        "out for one on this machine"
    )


def _check_resources(ray: Any, resources: Resources) -> None:
    """A task that no node can ever hold would wait for ever."""
    asked = {"CPU": resources.cpus, "GPU": resources.gpus, "TPU": resources.tpus}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(kind, 0) >= n for kind, n in asked.items()) for node in nodes):
        best = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in asked}
        raise InputError(
            f"--cpus, --gpus, --tpus: no node has {_words(asked)}; the most that one has is {_words(best)}"
        )


def _words(resources: dict[str, Any]) -> str:
    return ", ".join(f"{count:g} {kind}" for kind, count in resources.items())
