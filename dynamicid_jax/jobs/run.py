"""Runs a job's commands, one after the other, and keeps account.

Nothing is written twice at a time: the lock is inherited by every command, so that it lies on the folder as long as
any of them lives, even where whoever started them was killed. Whoever comes next waits for it.

A job ends with those who started it: on SIGTERM or SIGINT, and when the process that it was told to watch is gone,
the running command gets SIGTERM (a training saves) and what is left stays for the next call.
"""

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from dynamicid_jax.jobs.job import LOCK, LOG, Command, Job, State, read_job, read_state, write_state

BAD_REQUEST = 2  # as the command line says it: trying again changes nothing
POLL = 0.1  # seconds
GRACE = 300.0  # seconds that a command has to save and leave before it is killed

Say = Callable[[str], None]


def run_job(folder: Path, *, retries: int = 0, parent: int = 0, say: Say = print) -> State:
    """Runs what is not done yet.

    Args:
        folder: made by `write_job`.
        retries: how often a command that failed is started again, unless its request is not usable.
        parent: stop when this is no longer the parent process; 0: never.
        say: is told what begins and ends.

    Raises:
        InputError: the folder holds no job.
    """
    job = read_job(folder)
    stop = _Stop(parent)
    with _signals(stop), _locked(folder, stop, say) as lock:
        state = write_state(folder, read_state(folder), status="running", parent=parent, error="")
        for command in job.commands:
            if _is_done(folder, command, state):
                continue
            say(f"{folder.name}: {command.name}")
            state = _attempts(folder, job, command, state, retries, stop, lock)
            if state.status != "running":
                return state
        return write_state(folder, state, status="finished", code=0)


class _Stop:
    """Whether the job is to end: a signal came, or the parent is gone."""

    def __init__(self, parent: int) -> None:
        self._parent, self.signalled = parent, False

    def __bool__(self) -> bool:
        return self.signalled or (self._parent > 0 and os.getppid() != self._parent)


@contextlib.contextmanager
def _signals(stop: _Stop) -> Iterator[None]:
    def note(number: int, frame: object) -> None:
        stop.signalled = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _locked(folder: Path, stop: _Stop, say: Say) -> Iterator[IO[bytes]]:
    """The folder's lock; waits while somebody else has it."""
    with (folder / LOCK).open("ab") as file:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop:
                    raise KeyboardInterrupt from None
                if not waiting:
                    say(f"{folder.name}: another process is still at it; waiting")
                waiting = True
                time.sleep(POLL)
        yield file


def _is_done(folder: Path, command: Command, state: State) -> bool:
    return command.name in state.done and (folder / command.makes).exists()


def _attempts(
    folder: Path,
    job: Job,
    command: Command,
    state: State,
    retries: int,
    stop: _Stop,
    lock: IO[bytes],
) -> State:
    """One command until it is done, or failed once too often."""
    for left in range(retries, -1, -1):
        begin = time.monotonic()
        state = write_state(folder, state, attempts=state.attempts + 1)
        code = _run(folder, job, command, stop, lock)
        spent = state.seconds.get(command.name, 0.0) + time.monotonic() - begin
        state = write_state(folder, state, seconds={**state.seconds, command.name: round(spent, 1)})
        if code == 0 and (folder / command.makes).exists():
            return write_state(folder, state, done=(*state.done, command.name))
        if stop:
            return write_state(folder, state, status="stopped")
        if code == BAD_REQUEST or not left:
            break
    return write_state(folder, state, status="failed", code=code, error=_why(folder, command, code))


def _run(folder: Path, job: Job, command: Command, stop: _Stop, lock: IO[bytes]) -> int:
    """Starts one command and waits for it; its exit code."""
    with (folder / LOG).open("ab") as log:
        log.write(f"$ {shlex.join(command.words)}\n".encode())
        log.flush()
        try:
            process = subprocess.Popen(
                _resolved(command.words),
                cwd=job.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # signals come from here, once
            )
        except OSError as error:
            log.write(f"error: {command.words[0]}: cannot be started ({error.strerror})\n".encode())
            return BAD_REQUEST
        asked = 0.0
        while process.poll() is None:
            if stop and not asked:
                process.terminate()
                asked = time.monotonic()
            if asked and time.monotonic() - asked > GRACE:
                process.kill()
            time.sleep(POLL)
    return process.returncode


def _resolved(words: tuple[str, ...]) -> list[str]:
    """`dynamicid` of this installation, whatever PATH says."""
    if words[0] == "dynamicid":
        return [sys.executable, "-m", "dynamicid_jax", *words[1:]]
    return list(words)


def _why(folder: Path, command: Command, code: int) -> str:
    """The last error line of the log, or its last line."""
    tail = (folder / LOG).read_text("utf-8", errors="replace")[-20_000:].splitlines()
    begin = max((row for row, line in enumerate(tail) if line.startswith("$ ")), default=-1)
    lines = [line.strip() for line in tail[begin + 1 :] if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    said = (errors or lines or ["it said nothing"])[-1]
    how = f"ended without {command.makes}" if code == 0 else f"ended with code {code}"
    return f"{command.name} {how}: {said}"
