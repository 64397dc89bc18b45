"""A seal: proof that the files of a finished checkpoint are those that were written.

    seal.json    line 1   SHA-256 of line 2
                 line 2   {"files": {name: [size, SHA-256]}}, in canonical JSON

It is written last, after the checkpoint's own commit, and deleted first. So a folder without a seal was interrupted,
and one whose files do not match was damaged: cut, changed, or lost in part. Files that it does not name do not matter.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from etils import epath

SEAL = "seal.json"
UNSEALED = "has no seal: its saving did not finish"
READERS = 8  # hashlib and file reads let go of the interpreter's lock; buckets answer slowly
PIECE = 1 << 22


def write_seal(folder: epath.Path) -> None:
    """Seals all files in a folder; a later change to any of them is then found by `damage`."""
    names = sorted(_files(folder))
    with ThreadPoolExecutor(READERS) as pool:
        prints = list(pool.map(lambda name: _fingerprint(folder / name), names))
    body = _canonical({"files": dict(zip(names, prints, strict=True))})
    part = folder / f"{SEAL}.part"
    part.write_text(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}\n")
    part.rename(folder / SEAL)  # a seal is there in full or not at all


def is_sealed(folder: epath.Path) -> bool:
    """Whether a seal lies in the folder; whether it holds is `damage`'s question."""
    return (folder / SEAL).exists()


def remove(folder: epath.Path) -> None:
    """Deletes a sealed folder so that an interruption leaves an unsealed one, not a damaged one."""
    (folder / SEAL).unlink(missing_ok=True)
    folder.rmtree(missing_ok=True)


def damage(folder: epath.Path) -> str | None:
    """What is wrong with a folder, in words that follow its name; None if every file is as it was sealed."""
    try:
        text = (folder / SEAL).read_bytes()
    except FileNotFoundError:
        return UNSEALED
    files = _opened(text)
    if files is None:
        return f"has a damaged {SEAL}"
    # sizes first: they cost nothing, and a cut file need not be read
    for name, (size, _) in files.items():
        if not (folder / name).exists():
            return f"lacks the file {name}"
        if (found := (folder / name).stat().length) != size:
            return f"holds {found} bytes of {size} in {name}"
    with ThreadPoolExecutor(READERS) as pool:
        prints = pool.map(lambda name: _fingerprint(folder / name), files)
        for name, found_print in zip(files, prints, strict=True):
            if found_print != files[name]:
                return f"holds changed bytes in {name}"
    return None


def _opened(text: bytes) -> dict[str, list[Any]] | None:
    """The files that a seal names; None if the seal itself is not as it was written."""
    stamp, _, body = text.partition(b"\n")
    if not body.endswith(b"\n") or stamp != hashlib.sha256(body[:-1]).hexdigest().encode():
        return None
    return json.loads(body)["files"]


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _files(folder: epath.Path) -> list[str]:
    """Names of all files below a folder, relative to it."""
    names: list[str] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            names += [f"{entry.name}/{name}" for name in _files(entry)]
        elif not entry.name.startswith(SEAL):
            names.append(entry.name)
    return names


def _fingerprint(path: epath.Path) -> list[Any]:
    """Size and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return [size, digest.hexdigest()]
