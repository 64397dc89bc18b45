"""Trials as one Slurm array job: a script in the sweep's folder, submitted with sbatch.

DIR/sweep.sbatch             the script; the same trials again: the command again, which leaves out what is finished
DIR/slurm-<job>_<n>.txt      what Slurm itself says about the script's nth trial
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dynamicid_jax.errors import InputError, MissingPartError, OutputError
from dynamicid_jax.files import write_atomically
from dynamicid_jax.sweeps.launch import Resources

SCRIPT = "sweep.sbatch"


def script(
    out: Path,
    names: Sequence[str],
    jobs: int | None,
    retries: int,
    resources: Resources,
    more: str,
) -> str:
    """The script's text.

    Args:
        out: the sweep's folder, on a disk that all nodes see.
        names: the trials.
        jobs: how many may run at a time; None: as many as Slurm allows.
        retries: of failed commands.
        resources: of one trial.
        more: options of sbatch, as in a shell.

    Raises:
        InputError: a part of a GPU, or what are no options.
    """
    if resources.gpus % 1 or resources.tpus:
        raise InputError("--gpus, --tpus: with Slurm give whole GPUs; other devices go in --sbatch")
    limit = f"%{jobs}" if jobs else ""
    asked = [
        f"--job-name={out.name}",
        f"--array=0-{len(names) - 1}{limit}",
        f"--output={out.resolve()}/slurm-%A_%a.txt",
        "--ntasks=1",
        f"--cpus-per-task={resources.cpus}",
        *([f"--gpus-per-task={int(resources.gpus)}"] if resources.gpus else []),
        "--requeue",
        "--signal=B:TERM@300",  # five minutes before the end: a training saves
        *_split(more),
    ]
    words = [sys.executable, "-m", "dynamicid_jax", "sweep", "--out", str(out.resolve())]
    run = " ".join(map(shlex.quote, [*words, "--retries", str(retries)]))
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {one}" for one in asked),
        "",
        f"trials=({' '.join(map(shlex.quote, names))})",
        f'exec {run} --trial "${{trials[$SLURM_ARRAY_TASK_ID]}}"',  # exec: signals reach the trial itself
    ]
    return "\n".join(lines) + "\n"


def submit(out: Path, text: str) -> str:
    """Writes the script and hands it to sbatch; returns what sbatch said.

    Raises:
        MissingPartError: no sbatch on this machine; the script is written.
        OutputError: sbatch refuses the script.
    """
    file = out / SCRIPT
    write_atomically(file, lambda stream: stream.write(text.encode()))
    if shutil.which("sbatch") is None:
        raise MissingPartError(
            "--launcher slurm: no sbatch on this machine; the script is written, submit it where Slurm is: "
            f"sbatch {file}"
        )
    told = subprocess.run(["sbatch", str(file)], capture_output=True, text=True, check=False)
    if told.returncode:
        reason = " ".join((told.stderr or told.stdout).split())
        raise OutputError(f"sbatch refuses {file}: {reason}")
    return told.stdout.strip()


def _split(more: str) -> list[str]:
    """Options of sbatch, each with its value."""
    try:
        words = shlex.split(more)
    except ValueError:  # a quote that is not closed
        words = [""]
    if any(not word.startswith("--") for word in words):
        raise InputError(
            f"--sbatch {more!r}: expected options as in '--partition=gpu --time=4:00:00', quotes in pairs"
        )
    return words
