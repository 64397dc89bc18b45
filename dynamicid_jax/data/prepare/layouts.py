"""The four ways in which photographs may lie in a folder; docs/DATA.md shows each as a tree.

photos     <person>/<any name>.jpg, perhaps <any name>.txt beside it
studio     <person>/<expression>_<pose>.jpg: a grid of 7 expressions x 5 poses
variface   <person>/<k>.png, <k>.txt (face prompt), <k>_landmark.png (96 x 96 raster)
captions   <any folder>/<name>.jpg with <name>.txt (caption), or a JSON list of pictures and captions
"""

import json
import re
from pathlib import Path
from typing import Any, get_args

from dynamicid_jax.data.prepare.scan import (
    PERSON_FILE,
    SUFFIXES,
    Photo,
    Scan,
    Terms,
    entries,
    keys_for,
    left_out,
    pictures,
    read_terms,
    read_text,
    relative,
    terms_from,
    text_of,
)
from dynamicid_jax.data.prepare.settings import Layout, Settings
from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.prompts import EXPRESSIONS
from dynamicid_jax.images import shown

POSES = ("full_left", "half_left", "front", "half_right", "full_right")
RASTER = "_landmark"
_CELL = re.compile(rf"({'|'.join(EXPRESSIONS)})[_ -]({'|'.join(POSES)})", re.IGNORECASE)
_HOW = "put each person's photographs into a folder of its own, such as {0}/alice/1.jpg"


def scan(settings: Settings) -> Scan:
    """Finds all photographs.

    Raises:
        InputError: nothing there, no pictures, or not the layout asked for.
    """
    root = Path(settings.photos).expanduser()
    name = f"--photos {shown(settings.photos)}"
    if not root.exists():
        raise InputError(f"{name}: no such folder; {_HOW.format(shown(root))}")
    if root.is_file():
        if settings.layout not in ("auto", "captions"):
            raise InputError(f"{name}: is a file; layout {settings.layout} needs a folder")
        found = _caption_list(root, name, settings)
    else:
        layout = detect(root) if settings.layout == "auto" else settings.layout
        found = (
            _captions(root, settings) if layout == "captions" else _people(root, layout, settings)
        )
    if not found.photos:
        raise InputError(f"{name}: holds no pictures{_why_none(root, found.layout)}")
    return found


def detect(root: Path) -> Layout:
    """The layout of a folder, by names alone."""
    inside = entries(root)
    if any(path.with_suffix(".txt").is_file() for path in pictures(inside)):
        return "captions"
    found = []
    for folder in inside:
        if folder.is_dir():
            files = pictures(entries(folder))
            if any(path.stem.endswith(RASTER) for path in files):
                return "variface"
            found += files
    return "studio" if found and all(_CELL.fullmatch(path.stem) for path in found) else "photos"


def cell_of(stem: str) -> int:
    """Place in the studio grid of a file named "happy_half_left": 5 * expression + pose; -1 for other names."""
    match = _CELL.fullmatch(stem)
    if not match:
        return -1
    expression, pose = match.group(1).lower(), match.group(2).lower()
    return len(POSES) * EXPRESSIONS.index(expression) + POSES.index(pose)


def _people(root: Path, layout: str, settings: Settings) -> Scan:
    """One folder per person."""
    found = Scan(layout, root, whole=layout == "variface")
    for folder in entries(root):
        if not folder.is_dir():
            found.ignored.append(left_out(folder, root))
            continue
        person = shown(folder.name)
        inside = entries(folder)
        files = pictures(inside)
        rasters = {
            path.stem.removesuffix(RASTER): path for path in files if path.stem.endswith(RASTER)
        }
        if layout == "variface":
            files = [path for path in files if not path.stem.endswith(RASTER)]
        used = {*files, *(rasters.values() if layout == "variface" else ())}
        used |= {path.with_suffix(".txt") for path in files} | {folder / PERSON_FILE}
        found.ignored += [left_out(path, root) for path in inside if path not in used]
        if not files:
            continue
        found.terms[person] = read_terms(folder, settings.licence, settings.consent)
        for key, path in zip(keys_for(person, files), files, strict=True):
            found.photos.append(
                Photo(
                    key,
                    person,
                    str(path),
                    relative(path, root),
                    text_of(path),
                    str(rasters.get(path.stem, "")) if layout == "variface" else "",
                    _grid_cell(path, root) if layout == "studio" else -1,
                )
            )
    return found


def _grid_cell(path: Path, root: Path) -> int:
    cell = cell_of(path.stem)
    if cell < 0:
        raise InputError(
            f"{relative(path, root)}: not a name of the studio grid; expected <expression>_<pose>, such as "
            f"happy_half_left{path.suffix}: expressions {', '.join(EXPRESSIONS)}; poses {', '.join(POSES)}"
        )
    return cell


def _captions(root: Path, settings: Settings) -> Scan:
    """A folder tree of pictures with a text file each."""
    found = Scan("captions", root, whole=True)
    found.terms[""] = read_terms(root, settings.licence, settings.consent)
    folders, seen = [root], set()
    while folders:
        folder = folders.pop(0)
        if folder.resolve() in seen:
            continue  # a link back up
        seen.add(folder.resolve())
        inside = entries(folder)
        folders += [path for path in inside if path.is_dir()]
        files = pictures(inside)
        used = {*files} | {path.with_suffix(".txt") for path in files} | {root / PERSON_FILE}
        found.ignored += [
            relative(path, root) for path in inside if path not in used and path.is_file()
        ]
        for path in files:
            source = relative(path, root)
            found.photos.append(Photo(source, "", str(path), source, text_of(path)))
    return found


_ENTRY = 'expected entries such as {"picture": "a.jpg", "caption": "a red house"}'
_KEYS = ("picture", "caption", "person", "licence", "license", "consent")


def _caption_list(path: Path, name: str, settings: Settings) -> Scan:
    """A JSON list (or one JSON object a line) of pictures; paths count from the file's folder."""
    root = path.parent
    found = Scan("captions", root, whole=True)
    for place, entry in enumerate(_json_entries(path, name)):
        where = f"{name}: entry {place}"
        if not isinstance(entry, dict) or not isinstance(entry.get("picture"), str):
            raise InputError(f"{where}: {_ENTRY}")
        unknown = sorted(set(entry) - set(_KEYS))
        if unknown:
            raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
        picture = root / Path(entry["picture"]).expanduser()
        if not picture.is_file():
            raise InputError(f"{where}: no such picture {shown(picture)}")
        person, caption = (str(entry.get(key) or "") for key in ("person", "caption"))
        terms = {key: entry[key] for key in ("licence", "license", "consent") if key in entry}
        source = relative(picture, root)
        known = terms_from(terms, settings.licence, settings.consent, where)
        key = f"{person}/{source}" if person else source
        owner = person or key  # nobody in particular: the terms are the picture's own
        if found.terms.setdefault(owner, known) != known:
            raise InputError(
                f"{where}: another licence or consent than in {person!r}'s entries before"
            )
        found.photos.append(Photo(key, person, str(picture), source, caption))
    seen: set[str] = set()
    for photo in found.photos:
        if photo.key in seen:
            raise InputError(f"{name}: {photo.source} is listed twice")
        seen.add(photo.key)
    return found


def terms_of(found: Scan, photo: Photo) -> Terms:
    """Licence and consent of a photograph."""
    for owner in (photo.key, photo.person):
        if owner in found.terms:
            return found.terms[owner]
    return Terms()


def _json_entries(path: Path, name: str) -> list[Any]:
    text = read_text(path)
    try:
        if path.suffix.lower() == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name}: not JSON ({error}); {_ENTRY}") from None
    if not isinstance(values, list):
        raise InputError(f"{name}: expected a list; {_ENTRY}")
    return values


def _why_none(root: Path, layout: str) -> str:
    if root.is_file():
        return f"; {_ENTRY}"
    endings = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
    if layout != "captions" and pictures(entries(root)):
        return f" in folders, only beside them; {_HOW.format(shown(root))}"
    return f"; {_HOW.format(shown(root))} (endings: {endings})"


LAYOUTS = get_args(Layout)
