"""Sheets of a suite's pictures, failures first: reference photos, the drawn truth, the picture with its faces."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dynamicid_jax.evaluation.contents import Content, draw
from dynamicid_jax.evaluation.evidence import Seen
from dynamicid_jax.inference.recipe import save_picture
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

CELL, GAP, LABEL, COLUMNS = 96, 4, 46, 12
LETTERS = 20  # that fit above a tile
MOST = 72  # pictures on one sheet
PEOPLE = 3  # photos shown beside a picture, at most
Tile = tuple[str, Image.Image]


def write_sheets(out: Path, seen: Sequence[Seen], scores: dict[str, float]) -> list[Path]:
    """Writes DIR/sheets/KIND.png for every kind that has scores; returns the files.

    Raises:
        OutputError: they cannot be written.
    """
    kinds: dict[str, list[Seen]] = {}
    for one in seen:
        if one.shot.name in scores:
            kinds.setdefault(one.shot.kind, []).append(one)
    files = []
    for kind, some in kinds.items():
        worst = sorted(some, key=lambda one: (scores[one.shot.name], one.shot.name))[:MOST]
        file = out / "sheets" / f"{kind}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = _sheet([_tiles(one, scores[one.shot.name]) for one in worst])
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
    *drawn, truth = (Image.fromarray(made.pixels) for made in draw([*photos, asked], CELL))
    tiles = [
        (_lines("photo", *_people(photo)), tile) for photo, tile in zip(photos, drawn, strict=True)
    ]
    made = _lines(f"{one.shot.number}: {score:.2f}", *_faces(one))
    return [*tiles, (_lines("asked", *_people(asked)), truth), (made, _made(one))]


def _lines(*lines: str) -> str:
    return "\n".join(line[:LETTERS] for line in lines)


def _people(content: Content) -> list[str]:
    """What everybody does, a line each."""
    pairs = zip(content.expressions, content.poses, strict=True)
    return [f"{EXPRESSIONS[expression]}, {POSES[pose]}" for expression, pose in pairs]


def _faces(one: Seen) -> list[str]:
    turns = (*POSES, "up", "down")
    said = [f"{EXPRESSIONS[face.expression]}, {turns[face.turn]}" for face in one.look]
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
