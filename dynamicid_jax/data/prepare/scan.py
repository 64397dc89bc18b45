"""Which photographs there are, of whom, and what is said about them; nothing is decoded here."""

import difflib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError
from dynamicid_jax.images import shown

_ENDINGS = "jpg jpeg jpe jfif png webp bmp tif tiff gif ppm pgm pbm pnm"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split(" "))
REFUSALS = frozenset({"no", "none given", "refused", "withdrawn", "false"})
PERSON_FILE = "person.json"


@dataclass(frozen=True)
class Photo:
    """One photograph before anything was looked at.

    Attributes:
        key: unique, "<person>/<name>"; it names the record, too.
        person: whose photograph it is; "" for nobody in particular.
        path: of the file.
        source: the path relative to the photographs' folder, with forward slashes.
        text: what stands in its text file or JSON entry.
        raster: path of its landmark picture, where the layout has one.
        cell: of the studio grid, -1 outside it.
    """

    key: str
    person: str
    path: str
    source: str
    text: str = ""
    raster: str = ""
    cell: int = -1


@dataclass(frozen=True)
class Terms:
    """Under which conditions a person's pictures may be used."""

    licence: str = ""
    consent: str = ""

    @property
    def refused(self) -> bool:
        """Whether the person did not agree."""
        return self.consent.strip().lower() in REFUSALS


@dataclass
class Scan:
    """All photographs of a folder.

    Attributes:
        layout: the layout they were read as.
        root: the folder.
        photos: in the order of people, then of pictures.
        terms: by person.
        ignored: files that are neither pictures nor anything this layout knows.
        whole: whether pictures are kept whole instead of being cut around the face.
    """

    layout: str
    root: Path
    photos: list[Photo] = field(default_factory=list)
    terms: dict[str, Terms] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    whole: bool = False

    def people(self) -> dict[str, list[Photo]]:
        """Photographs by person; those of nobody in particular are left out."""
        found: dict[str, list[Photo]] = {}
        for photo in self.photos:
            if photo.person:
                found.setdefault(photo.person, []).append(photo)
        return found


def natural(name: str) -> list[Any]:
    """A sort key that puts "s2" before "s10"."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
    ]


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in natural order, without hidden files.

    Raises:
        InputError: it cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot be read: {error.strerror}") from error
    return sorted(found, key=lambda path: natural(path.name))


def pictures(files: Iterable[Path]) -> list[Path]:
    """Those that are pictures by their names."""
    return [path for path in files if path.suffix.lower() in SUFFIXES and not path.is_dir()]


def read_text(path: Path) -> str:
    """A text file in UTF-8, stripped.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{shown(path)}: cannot be read: {reason}") from error


def text_of(picture: Path) -> str:
    """What stands in `<photo>.txt`, beside `<photo>.jpg`; "" without such a file."""
    path = picture.with_suffix(".txt")
    return read_text(path) if path.is_file() else ""


def read_terms(folder: Path, licence: str, consent: str) -> Terms:
    """What a person's person.json says, else the defaults.

    Raises:
        InputError: the file is not a JSON object of the known keys with texts in it.
    """
    path = folder / PERSON_FILE
    if not path.is_file():
        return Terms(licence, consent)
    try:
        values = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{shown(path)}: not JSON ({error}); {_TERMS}") from None
    return terms_from(values, licence, consent, shown(path))


_TERMS = (
    'expected an object such as {"licence": "CC BY 4.0", "consent": "signed form of 2024-05-01"}'
)


def terms_from(values: Any, licence: str, consent: str, name: str) -> Terms:
    """Licence and consent out of a JSON object.

    Raises:
        InputError: as `read_terms`.
    """
    if not isinstance(values, dict):
        raise InputError(f"{name}: {_TERMS}")
    given = {"license": "licence"}
    found = {"licence": licence, "consent": consent}
    for key, value in values.items():
        place = given.get(key, key)
        if place not in found:
            near = difflib.get_close_matches(key, found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{name}: unknown key {key!r}{hint}; {_TERMS}")
        if isinstance(value, bool):
            value = "yes" if value else "no"
        if not isinstance(value, str):
            raise InputError(f"{name}: {key} must be a text, got {value!r}; {_TERMS}")
        found[place] = " ".join(value.split())
    return Terms(**found)


def relative(path: Path, root: Path) -> str:
    """A path below the photographs' folder, as the records keep it."""
    return shown(os.path.relpath(path, root)).replace(os.sep, "/")


def left_out(path: Path, root: Path) -> str:
    """How the report names what is neither a picture nor known; folders end in a slash."""
    return relative(path, root) + ("/" if path.is_dir() else "")


def keys_for(person: str, files: list[Path]) -> list[str]:
    """One key per picture: its name without the ending, unless two pictures differ only in that."""
    stems = [path.stem for path in files]
    names = (
        [path.stem if stems.count(path.stem) == 1 else path.name for path in files]
        if len(set(stems)) < len(stems)
        else stems
    )
    return [f"{person}/{shown(name)}" for name in names]
