"""A job on disk: which commands it is made of, and how far it came.

FOLDER/job.json     the commands, as one would type them, and the folder in which they are typed
FOLDER/state.json   what is done, what failed and why, seconds
FOLDER/log.txt      all that the commands said
FOLDER/job.lock     held by whoever runs it, and by every command that he started (run.py)
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.files import save_json

JOB, STATE, LOG, LOCK = "job.json", "state.json", "log.txt", "job.lock"
Status = Literal["new", "running", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class Command:
    """One command of a job.

    Attributes:
        name: of what it does, unique in the job.
        words: the command; a first word "dynamicid" is this installation's.
        makes: a file or folder that is there once it has done its work, absolute or below the job's folder. A
            training that was stopped by a signal ends with code 0, too, but leaves no model.
    """

    name: str
    words: tuple[str, ...]
    makes: str


@dataclass(frozen=True)
class Job:
    """Commands, in order, and the folder (`cwd`) in which they are typed."""

    commands: tuple[Command, ...]
    cwd: str


@dataclass(frozen=True)
class State:
    """How far a job came.

    Attributes:
        status: "running" may also mean: killed while it ran.
        done: names of the commands that are finished.
        seconds: of each of them, all attempts together.
        attempts: how often a command was started.
        parent: process that started the last run; 0: nobody in particular.
        code: the exit code of the command that failed; negative for a signal.
        error: why it failed, one line.
    """

    status: Status = "new"
    done: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 0
    parent: int = 0
    code: int = 0
    error: str = ""


def write_job(folder: Path, commands: Sequence[Command]) -> None:
    """Makes the folder of a job; one that is there already must hold the same commands.

    Raises:
        InputError: it holds other ones.
        OutputError: it cannot be written.
    """
    job = Job(tuple(commands), os.getcwd())
    if (folder / JOB).is_file():
        there = read_job(folder)
        if there.commands != job.commands:
            raise InputError(
                f"{folder}: holds another job; {_apart(there, job)}. Take another --out"
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error
    save_json(asdict(job), folder / JOB)


def read_job(folder: Path) -> Job:
    """The job of a folder.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    try:
        values = json.loads((folder / JOB).read_text("utf-8"))
        commands = [Command(**{**one, "words": tuple(one["words"])}) for one in values["commands"]]
        return Job(tuple(commands), values["cwd"])
    except (OSError, ValueError, TypeError, LookupError):
        raise InputError(f"{folder}: holds no {JOB} that can be read; begin it anew") from None


def read_state(folder: Path) -> State:
    """How far the job of a folder came; "new" where nothing (readable) is written."""
    try:
        values = json.loads((folder / STATE).read_text("utf-8"))
        state = State(**{**values, "done": tuple(values["done"])})
        sum(state.seconds.values())  # raises where it holds anything but numbers
        return state
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return State()


def write_state(folder: Path, state: State, **changes: Any) -> State:
    """Keeps the state with some fields changed, and returns it."""
    state = replace(state, **changes)
    save_json(asdict(state), folder / STATE)
    return state


def _apart(there: Job, wanted: Job) -> str:
    """The first word by which two jobs differ."""
    for one, other in zip(there.commands, wanted.commands, strict=False):
        for old, new in zip(one.words, other.words, strict=False):
            if old != new:
                return f"{one.name}: was {old}, is {new}"
        if len(one.words) != len(other.words):
            longer = max(one.words, other.words, key=len)
            return (
                f"{one.name}: {longer[min(len(one.words), len(other.words))]} in one of them only"
            )
    return f"was {len(there.commands)} commands, is {len(wanted.commands)}"
