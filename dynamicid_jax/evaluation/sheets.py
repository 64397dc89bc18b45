"""Sheets of a suite's pictures, failures first.

Reference photos, what was asked (drawn, or the target photos), the picture with its faces, its gate map if kept.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dynamicid_jax.evaluation.contents import Content
from dynamicid_jax.evaluation.evidence import Seen
from dynamicid_jax.evaluation.judge_files import TURNS
from dynamicid_jax.evaluation.measures import INNER_LAYERS
from dynamicid_jax.evaluation.photographs import Photo, Shown, Wish, photo_pixels
from dynamicid_jax.inference.recipe import save_picture
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

CELL, GAP, LABEL, COLUMNS = 96, 4, 46, 12
LETTERS = 20  # that fit above a tile
MOST = 72  # pictures on one sheet
PEOPLE = 3  # photos shown beside a picture, at most
Tile = tuple[str, Image.Image]


def sheets(seen: Sequence[Seen], scores: dict[str, float]) -> dict[str, Image.Image]:
    """A sheet for every kind that has scores, the worst pictures first."""
    kinds: dict[str, list[Seen]] = {}
    for one in seen:
        if one.shot.name in scores:
            kinds.setdefault(one.shot.kind, []).append(one)
    made = {}
    for kind, some in kinds.items():
        worst = sorted(some, key=lambda one: (scores[one.shot.name], one.shot.name))[:MOST]
        made[kind] = _sheet([_tiles(one, scores[one.shot.name]) for one in worst])
    return made


def write_sheets(out: Path, made: Mapping[str, Image.Image]) -> list[Path]:
    """Writes DIR/sheets/KIND.png; returns the files.

    Raises:
        OutputError: they cannot be written.
    """
    files = []
    for kind, picture in made.items():
        file = out / "sheets" / f"{kind}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        files.append(save_picture(picture, file))
    return files


def _sheet(groups: Sequence[Sequence[Tile]]) -> Image.Image:
    """Groups of tiles side by side, as many to a line as fit."""
    width = max(len(group) for group in groups)
    across = max(1, COLUMNS // width)
    step_x, step_y = width * (CELL + GAP) + 2 * GAP, CELL + LABEL + GAP
    lines = -(-len(groups) // across)
    canvas = Image.new("RGB", (across * step_x + GAP, lines * step_y + GAP), "white")
    pen = ImageDraw.Draw(canvas)
    for number, group in enumerate(groups):
        left, top = GAP + number % across * step_x, GAP + number // across * step_y
        for place, (label, tile) in enumerate(group):
            x = left + place * (CELL + GAP)
            canvas.paste(tile, (x, top + LABEL))
            pen.multiline_text((x, top), label, "black", font_size=9, spacing=1)
    return canvas


def _tiles(one: Seen, score: float) -> list[Tile]:
    photos = [photo for subject in one.shot.subjects for photo, _ in subject.photos][:PEOPLE]
    asked = one.shot.shows
    aims: list[Photo] = []
    if isinstance(asked, Wish):
        aims += [target for target in asked.targets if target is not None][:PEOPLE]
    else:
        aims.append(asked)
    pictures = [_small(picture) for picture in photo_pixels([*photos, *aims], CELL)]
    says = [
        _lines("photo", *(_people(photo) if isinstance(photo, Content) else [])) for photo in photos
    ]
    says += [_lines("asked", *_people(asked))] * len(aims)
    made = _lines(f"{one.shot.number}: {score:.2f}", *_faces(one))
    gates = [("gate", _gate(one))] if one.gates else []
    return [*zip(says, pictures, strict=True), (made, _made(one)), *gates]


def _small(picture: np.ndarray) -> Image.Image:
    """A picture of any size in a tile."""
    tile = Image.fromarray(picture)
    tile.thumbnail((CELL, CELL), Image.Resampling.BICUBIC)
    framed = Image.new("RGB", (CELL, CELL), "white")
    framed.paste(tile, ((CELL - tile.width) // 2, (CELL - tile.height) // 2))
    return framed


def _gate(one: Seen) -> Image.Image:
    """The mean of the middle and up blocks' gate maps: white is open."""
    maps = [gate for name, gate in one.gates.items() if name.startswith(INNER_LAYERS)]
    tiles = [
        np.asarray(Image.fromarray(gate.astype(np.float32)).resize((CELL, CELL)))
        for gate in maps or list(one.gates.values())
    ]
    grey = (np.clip(np.mean(tiles, axis=0), 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _lines(*lines: str) -> str:
    return "\n".join(line[:LETTERS] for line in lines)


def _people(content: Shown) -> list[str]:
    """What everybody does, a line each."""
    pairs = zip(content.expressions, content.poses, strict=True)
    return [_motion(*pair) for pair in pairs]


def _motion(expression: int | None, pose: int | None) -> str:
    said = [] if expression is None else [EXPRESSIONS[expression]]
    return ", ".join(said if pose is None else [*said, POSES[pose]])


def _faces(one: Seen) -> list[str]:
    said = [f"{EXPRESSIONS[face.expression]}, {TURNS[face.turn]}" for face in one.look]
    return said[:PEOPLE] or ["no face"]


def _made(one: Seen) -> Image.Image:
    """The picture with its faces' boxes."""
    if one.picture is None:
        return Image.new("RGB", (CELL, CELL), "grey")
    tile = Image.fromarray(one.picture).resize((CELL, CELL), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(tile)
    for face in one.look:
        pen.rectangle((np.asarray(face.box) * CELL).tolist(), outline=(255, 255, 255))
    return tile
