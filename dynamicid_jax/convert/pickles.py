"""The parent's side of reading PyTorch files: starts the guarded child, keeps what it makes.

This process never opens a pickle. The child (`pickle_child`) writes safetensors into the cache
folder, named by the hash of the original, so every file is converted once.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from dynamicid_jax.cache import own_folder
from dynamicid_jax.convert import pickle_child
from dynamicid_jax.errors import MissingPartError, OutputError, WeightsError
from dynamicid_jax.text import printable

BASE_BYTES, EXPANSION = 1 << 30, 4  # of memory: strided views expand; the goldens' 50 times
BASE_SECONDS, BYTES_PER_SECOND = 180, 20e6


def to_safetensors(path: Path) -> tuple[Path, Any]:
    """Converts a PyTorch file without ever unpickling it in this process.

    Returns:
        the safetensors file, and an object to hold as long as that file is needed: a temporary
        folder where the cache cannot be written, else None.

    Raises:
        WeightsError: damaged, or anything but tensors; code in it has not been run.
        MissingPartError: PyTorch is missing or too old.
        OutputError: no space for the converted file.
    """
    size = path.stat().st_size
    if not size:
        raise WeightsError(f"{path}: the file is empty; fetch it again")
    folder, holder = _folder()
    target = folder / f"{_hash(path)}.safetensors"
    if target.is_file():
        return target, None
    partial = folder / f".{target.name}.{os.getpid()}.partial"
    try:
        _run_child(path, partial, size)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target, holder


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None


def _folder() -> tuple[Path, Any]:
    """The cache folder, or a temporary one where it is not the user's own or cannot be written."""
    try:
        cache = own_folder("converted")
        with tempfile.TemporaryFile(dir=cache):
            return cache, None
    except OSError:
        holder = tempfile.TemporaryDirectory(prefix="dynamicid_jax_")
        return Path(holder.name), holder


def _run_child(source: Path, target: Path, size: int) -> None:
    command = [sys.executable, "-P", "-m", "dynamicid_jax.convert.pickle_child"]
    arguments = [str(source.absolute()), str(target.absolute()), str(BASE_BYTES + EXPANSION * size)]
    try:
        result = subprocess.run(
            [*command, *arguments],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BASE_SECONDS + size / BYTES_PER_SECOND,
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(f"{source}: refused; reading it took too long") from None
    if result.returncode != pickle_child.DONE:
        last = printable((result.stdout.strip().splitlines() or [""])[-1])
        raise _error(source, result.returncode, last)


def _environment() -> dict[str, str]:
    """The child's: the same package, one thread, no GPU, and no switch that allows code."""
    environment = dict(os.environ)
    environment.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    root = Path(__file__).resolve().parents[2]
    # An installed package is found anyway; its neighbours must not hide the standard library.
    checkout = [] if root.name in ("site-packages", "dist-packages") else [str(root)]
    paths = [*checkout, *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {
        "PYTHONPATH": os.pathsep.join(paths),
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _error(source: Path, code: int, line: str) -> Exception:
    """The child's exit code and last line as one of our errors."""
    install = "pip install '.[convert]'"
    if code == pickle_child.NO_TORCH:
        return MissingPartError(f"{source}: a PyTorch file, and PyTorch is missing; {install}")
    if code == pickle_child.OLD_TORCH:
        return MissingPartError(f"{source}: PyTorch {line} is too old to read it safely; {install}")
    if code == pickle_child.REFUSED:
        return WeightsError(f"{source}: refused: {line}; nothing in it was run")
    if code == pickle_child.UNWRITABLE:
        return OutputError(f"{source}: its converted copy cannot be written ({line})")
    return WeightsError(f"{source}: refused: reading it ended the child process (code {code})")
