"""What code under fuzzing may not do: touch files elsewhere, start programs, open connections.

Python reports such events to audit hooks (PEP 578), from its own library and from `os` alike.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = (
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"),
)
PROGRAMS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.startfile",
    "subprocess.Popen",
    "pty.spawn",
)
NETWORK = ("socket.connect", "socket.getaddrinfo", "urllib.Request")


class Guard:
    """Collects forbidden events while it is on; a hook cannot be taken out again, so there is one."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.found: list[str] = []
        self.on = False
        sys.addaudithook(self._hear)

    @contextmanager
    def watching(self, *allowed: Path) -> Iterator[list[str]]:
        """Hands out the list of what is done outside the allowed folders."""
        self.allowed = (*(str(folder.resolve()) for folder in allowed), os.devnull)
        self.found, self.on = [], True
        try:
            yield self.found
        finally:
            self.on = False

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in PROGRAMS or event in NETWORK:
            self._note(event, args)
        elif event == "open" and len(args) == 3:
            path, mode, flags = args
            writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & WRITING)
            if writes and not self._inside(path):
                self._note(event, args)
        elif event in CHANGES and not all(
            map(self._inside, args[:2] if "link" in event else args[:1])
        ):
            self._note(event, args)

    def _inside(self, path: Any) -> bool:
        if isinstance(path, int):
            return True  # an open file
        self.on = False  # looking at a path must not be heard itself
        try:
            place = os.path.realpath(os.fsdecode(path))
        except (TypeError, ValueError):
            return False
        finally:
            self.on = True
        return place.startswith(self.allowed)

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        self.found.append(f"{event} {args!r:.200}")


GUARD = Guard()
