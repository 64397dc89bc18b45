"""Finished looks on disk, one small file per photograph, so that nothing is done twice.

A file is written under a temporary name and renamed: what is there is whole. It is used again while the photograph (its
size and time of change) and everything that decides what a look finds (`Settings.looking`) are the same. The files hold
face embeddings, which are biometric data; `prepare` deletes the folder once the dataset is written, unless told to
keep it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.data.prepare.look import Face, Look, Picture
from dynamicid_jax.data.prepare.scan import Photo
from dynamicid_jax.errors import OutputError

_BYTES = ("picture",)
_ARRAYS = ("embedding", "box", "raster")


class Journal:
    """The finished looks of one way of looking."""

    def __init__(self, work: Path, looking: str) -> None:
        """Opens (and makes) the folder `work/looking`.

        Raises:
            OutputError: it cannot be made.
        """
        self.work, self.folder = work, work / looking
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot be made ({error.strerror}); give another folder with --work"
            ) from error

    def place(self, photo: Photo) -> Path:
        """The file of one photograph."""
        name = hashlib.sha256(f"{photo.key}\0{os.path.abspath(photo.path)}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:24]}.npz"

    def has(self, photo: Photo) -> bool:
        """Whether the photograph as it is now has been looked at."""
        try:
            with np.load(self.place(photo)) as file:
                return bool(json.loads(str(file["head"]))["stamp"] == stamp(photo))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False  # not there, or cut short by something worse than a kill: look again

    def save(self, photo: Photo, look: Look) -> None:
        """Keeps a look."""
        path = self.place(photo)
        head: dict[str, Any] = {
            "stamp": stamp(photo),
            "sha256": look.sha256,
            "problem": look.problem,
        }
        arrays: dict[str, np.ndarray] = {}
        head["picture"] = _put(arrays, "picture", look.picture)
        head["faces"] = []
        for place, face in enumerate(look.faces):
            plain = {name: getattr(face, name) for name in _plain_names(face)}
            plain["picture"] = _put(arrays, f"picture{place}", face.picture)
            for name in _ARRAYS:
                arrays[f"{name}{place}"] = getattr(face, name)
            head["faces"].append(plain)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.savez(file, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]
        temporary.replace(path)

    def load(self, photo: Photo, *, pictures: bool = True) -> Look:
        """A look that was kept; without pictures where only numbers are asked for."""
        with np.load(self.place(photo)) as file:
            head = json.loads(str(file["head"]))
            faces = []
            for place, plain in enumerate(head["faces"]):
                arrays = {name: file[f"{name}{place}"] for name in _ARRAYS}
                plain["angles"] = tuple(plain["angles"])
                plain["picture"] = _get(file, f"picture{place}", plain["picture"], pictures)
                faces.append(Face(**plain, **arrays))
            return Look(
                head["sha256"],
                tuple(head["problem"]) if head["problem"] else None,
                tuple(faces),
                _get(file, "picture", head["picture"], pictures),
            )

    def remove(self) -> None:
        """Deletes it, and the work folder if nothing else is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.work.rmdir()


def stamp(photo: Photo) -> list[int]:
    """Size and time of change of a photograph and its landmark picture."""
    numbers = []
    for path in (photo.path, photo.raster):
        with contextlib.suppress(OSError):  # one that is gone is found out by looking
            if path:
                status = os.stat(path)
                numbers += [status.st_size, status.st_mtime_ns]
    return numbers


def _plain_names(face: Face) -> list[str]:
    """Fields of a face that are plain JSON values."""
    return [name for name in vars(face) if name not in (*_ARRAYS, *_BYTES)]


def _put(arrays: dict[str, np.ndarray], name: str, picture: Picture | None) -> list[int] | None:
    if picture is None:
        return None
    arrays[name] = np.frombuffer(picture.data, np.uint8)
    return [picture.width, picture.height]


def _get(file: Any, name: str, size: list[int] | None, wanted: bool) -> Picture | None:
    if size is None:
        return None
    return Picture(file[name].tobytes() if wanted else b"", *size)
