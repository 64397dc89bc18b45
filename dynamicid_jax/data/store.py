"""Where datasets lie: folders on this machine, or on a store such as gs://, through etils.

    local folder    written beside its final name, then renamed: it is there whole, or not at all
    other schemes   written on this machine, then copied, dataset.json last: without it there is no dataset

ArrayRecord reads local files only, so a dataset of another scheme is copied once per machine into the cache folder.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from etils import epath

from dynamicid_jax.cache import cache_folder
from dynamicid_jax.errors import InputError, OutputError

INFO = "dataset.json"


def is_local(path: epath.PathLike) -> bool:
    """Whether a path is on this machine's own file system."""
    return "://" not in os.fspath(path)


def as_path(path: epath.PathLike) -> epath.Path:
    """A path of any scheme; "~" stands for the home folder.

    Raises:
        InputError: an unknown scheme, or one whose client library is not installed.
    """
    text = os.fspath(path)
    if is_local(text):
        return epath.Path(text).expanduser()
    try:
        known = epath.Path(path)
        known.exists()  # clients are loaded with the first question
    except (KeyError, ImportError, NotImplementedError) as error:
        why = "an unknown scheme" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise InputError(f"{text}: cannot be reached: {why}") from None
    return known


def check_out(out: epath.PathLike, overwrite: bool) -> epath.Path:
    """The folder to write, before any work is done.

    Raises:
        InputError: something is there already that may not be replaced.
    """
    target = as_path(out)
    if not target.exists():
        return target
    if (target / INFO).exists():
        if not overwrite:
            raise InputError(f"{target}: a dataset is already there; give another folder for it")
    elif not target.is_dir() or (is_local(target) and any(target.iterdir())):
        raise InputError(f"{target}: exists and is no dataset; give a new folder for it")
    return target


def work_folder(out: epath.PathLike) -> Path:
    """The local folder in which `out` is made; the same one after an interruption."""
    path = os.fspath(out)
    if is_local(out):
        local = Path(path).expanduser().absolute()
        return local.parent / f".{local.name}.partial"
    return cache_folder("datasets") / f"writing-{_short_hash(path)}"


@contextmanager
def publishing(out: epath.PathLike, *, overwrite: bool, fresh: bool = True) -> Iterator[Path]:
    """Hands out a local folder to write into; where the block ends without error, it becomes `out`.

    Args:
        out: the final folder.
        overwrite: whether a dataset there may be replaced.
        fresh: False keeps what an interrupted run left in the local folder.

    Raises:
        InputError: see `check_out`.
        OutputError: the folder cannot be made.
    """
    target, work = check_out(out, overwrite), work_folder(out)
    if fresh:
        shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    yield work
    if is_local(out):
        _replace(work, Path(os.fspath(out)).expanduser().absolute())
    else:
        _upload(work, target)
        shutil.rmtree(work)


def _replace(work: Path, out: Path) -> None:
    """One rename; an older dataset is moved aside before and removed after."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _upload(work: Path, out: epath.Path) -> None:
    """File by file; of an older dataset dataset.json goes first, of the new one it comes last."""
    if out.exists():
        (out / INFO).unlink(missing_ok=True)
        out.rmtree(missing_ok=True)
    files = sorted(file for file in work.rglob("*") if file.is_file())
    files.sort(key=lambda file: file == work / INFO)
    for file in files:
        target = out / file.relative_to(work).as_posix()
        target.parent.mkdir(parents=True, exist_ok=True)
        epath.Path(file).copy(target, overwrite=True)


def local_folder(path: epath.PathLike) -> Path:
    """A dataset's folder on this machine; one of another scheme is copied, once.

    The copy's name holds a hash of dataset.json, which changes with every rewriting.
    """
    if is_local(path):
        return Path(os.fspath(path)).expanduser().absolute()
    source = as_path(path)
    stamp = os.fspath(path).encode() + (source / INFO).read_bytes()
    copy = cache_folder("datasets") / hashlib.sha256(stamp).hexdigest()[:24]
    if (copy / INFO).is_file():
        return copy
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix="reading-", dir=copy.parent))
    _download(source, part)
    try:
        part.rename(copy)
    except OSError:  # another process of this machine was faster
        shutil.rmtree(part)
        if not (copy / INFO).is_file():
            raise
    return copy


def _download(source: epath.Path, target: Path) -> None:
    """A folder with all that it holds."""
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _download(entry, target / entry.name)
        else:
            entry.copy(target / entry.name)


def read_json(file: epath.PathLike) -> Any:
    """A JSON file's value.

    Raises:
        InputError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(epath.Path(file).read_text())
    except (OSError, ValueError) as error:
        line = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: cannot be read as JSON: {line}") from error


def write_json(file: Path, value: Any) -> None:
    """A value as JSON, whole or not at all."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1))
    part.replace(file)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
