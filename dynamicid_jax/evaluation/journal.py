"""A file of JSON lines that grows: a process that is killed loses the line it was writing, and nothing else."""

import json
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import OutputError


class Journal:
    """One file; `read` gives whole lines only."""

    def __init__(self, file: Path) -> None:
        """Nothing is written yet."""
        self.file = file

    def read(self) -> list[dict[str, Any]]:
        """All entries; lines that are not whole are passed over."""
        if not self.file.is_file():
            return []
        entries = []
        for line in self.file.read_text("utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the line during which the process was killed
                continue
            if isinstance(entry, dict):
                entries.append(entry)
        return entries

    def write(self, *entries: dict[str, Any]) -> None:
        """Adds entries; a broken line before them is closed.

        Raises:
            OutputError: the file cannot be written.
        """
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        try:
            with self.file.open("ab+") as stream:
                if stream.tell() and not _ends_whole(stream):
                    text = "\n" + text
                stream.write(text.encode())
        except OSError as error:
            raise OutputError(
                f"{self.file}: cannot be written: {error.strerror or error}"
            ) from error


def _ends_whole(stream: Any) -> bool:
    stream.seek(-1, 2)
    return stream.read(1) == b"\n"
