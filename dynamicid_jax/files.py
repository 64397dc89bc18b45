"""Files and folders that appear whole under their name or not at all."""

import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dynamicid_jax.errors import OutputError


def check_output(path: str | os.PathLike[str]) -> Path:
    """The path, if a file can be written there.

    Raises:
        OutputError: its folder does not exist or cannot be written, or the path is a folder.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(
            f"{path}: the folder {folder} does not exist; create it or choose another place"
        )
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: the folder {folder} is read-only; choose another place")
    return path


def write_atomically(
    path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any], mode: int | None = None
) -> Path:
    """Writes a file through a temporary sibling, so that nothing half-written is ever seen under its name.

    Args:
        path: the file.
        write: is given the open temporary file.
        mode: permissions; None: as the user's umask says.

    Raises:
        OutputError: the folder is missing or read-only, or the disk is full.
    """
    path = check_output(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            write(file)
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        temporary.replace(path)
    except OSError as error:
        reason = (
            "no space left on the device"
            if error.errno == errno.ENOSPC
            else error.strerror or str(error)
        )
        raise OutputError(f"{path}: cannot be written: {reason}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_json(value: Any, path: str | os.PathLike[str]) -> Path:
    """Writes readable JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return write_atomically(path, lambda file: file.write(text.encode()))


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Another folder (not made yet) to write; it takes this one's name and place at the end, if nothing was raised.

    Raises:
        OutputError: it cannot be written.
    """
    scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        scratch.mkdir()
        yield scratch / folder.name
        put_in_place(scratch / folder.name, folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put_in_place(partial: Path, folder: Path) -> None:
    """A finished folder to its name: renames, moving an old folder out of the way first and deleting it last."""
    if not folder.exists():
        os.rename(partial, folder)
        return
    old = partial.with_suffix(".old")
    os.rename(folder, old)
    try:
        os.rename(partial, folder)
    except OSError:
        os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copies the files of a folder without their permissions, which may forbid a later removal."""
    target.mkdir()
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            copy_folder(entry, target / entry.name)
        else:
            shutil.copyfile(entry, target / entry.name)
