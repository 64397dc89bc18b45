"""Where things are kept that can be made again, if the folder is the user's own.

A compiled program is code, and whoever may write into its folder may run code as the user: so a folder that belongs
to somebody else, or that others may write to, is not used. (Only where the system knows owners.)
"""

import os
import stat
from pathlib import Path

from dynamicid_jax.errors import OutputError

VARIABLE = "DYNAMICID_CACHE"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_folder(part: str) -> Path:
    """One part ("xla", "converted") of $DYNAMICID_CACHE, else of ~/.cache/dynamicid_jax."""
    chosen = os.environ.get(VARIABLE)
    return (Path(chosen) if chosen else Path("~/.cache/dynamicid_jax").expanduser()) / part


def own_folder(part: str) -> Path:
    """A part of the cache, made if it is not there, and nobody else's.

    What is the user's but open to others (a group-writable umask makes such folders) is closed to them.

    Raises:
        OutputError: it cannot be made, or it or the cache around it belongs to somebody else.
    """
    folder = cache_folder(part)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for one in (folder.parent, folder):
            _close(one)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder}: {error.strerror}") from None
    return folder


def _close(folder: Path) -> None:
    if not hasattr(os, "getuid"):
        return
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise OutputError(
            f"{folder}: belongs to another user, so it is not used; set {VARIABLE} to a folder of your own"
        )
    if found.st_mode & OTHERS_WRITE:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS_WRITE)
