"""The sheets of docs/WORLD.md: people, motions, scenes and landmarks, as small PNG files."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from dynamicid_jax.world.factors import person_number, seed_of
from dynamicid_jax.world.motion import EXPRESSIONS, FACINGS, POSES, motion
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.scene import Scene, draw_scene, scene
from dynamicid_jax.world.truth import LANDMARKS, truth

Pictures = UInt8[np.ndarray, "k h w 3"]
_SPLIT = "demo"
_HAPPY, _NEUTRAL, _FRONT = EXPRESSIONS.index("happy"), EXPRESSIONS.index("neutral"), 2
_SHARP = 2  # sheets are drawn larger and shrunk, for finer edges


def write_sheets(folder: Path, face_pack: str | None = None) -> list[Path]:
    """Writes the four sheets, and with a face pack one of its detections; returns the files."""
    files = [
        _save(folder / "people.png", _grid(_draw(_people(40), 120), 10)),
        _save(folder / "motions.png", _motions((3, 20))),
        _save(folder / "scenes.png", _grid(_draw(_scenes(12), 200), 6)),
        _save(folder / "landmarks.png", _landmarks()),
    ]
    if face_pack is not None:
        files.append(_save(folder / "detections.png", _detections(face_pack)))
    return files


def _save(file: Path, picture: Image.Image) -> Path:
    picture.save(file, optimize=True)
    return file


@partial(jax.jit, static_argnums=1)
def _render(scenes: Scene, size: int) -> jax.Array:
    return to_bytes(render_many(scenes, size))


def _draw(scenes: Scene, size: int) -> Pictures:
    large = np.asarray(_render(scenes, size * _SHARP)).astype(np.float32)
    k, side = large.shape[0], large.shape[1] // _SHARP
    small = large.reshape(k, side, _SHARP, side, _SHARP, 3).mean((2, 4))
    return np.round(small).astype(np.uint8)


def _grid(pictures: Pictures, columns: int) -> Image.Image:
    k, h, w, _ = pictures.shape
    rows = pictures.reshape(k // columns, columns, h, w, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray(rows.reshape(k // columns * h, columns * w, 3))


def _portraits(
    people: list[int], expression: list[int], pose: list[int], facing: list[int]
) -> Scene:
    person = person_number(_SPLIT, jnp.asarray(people))[:, None]
    seed = seed_of(jnp.asarray(people), "sheet", 0).astype(jnp.int32)
    move = motion(
        seed[:, None], *(jnp.asarray(one)[:, None] for one in (expression, pose, facing)), calm=True
    )
    return scene(seed, person, jnp.ones_like(seed), move)


def _people(count: int) -> Scene:
    faces = [_HAPPY if i % 3 == 1 else _NEUTRAL for i in range(count)]
    poses = [(_FRONT, 1, 3)[i % 5 % 3] for i in range(count)]
    return _portraits(list(range(count)), faces, poses, [0] * count)


def _scenes(count: int) -> Scene:
    return draw_scene(jnp.arange(count) + 100, _SPLIT, people=4096, places=3, weights=(1, 2, 2))


def _motions(people: tuple[int, ...], size: int = 84) -> Image.Image:
    """Rows: expressions; columns: the five poses, up and down; one block per person."""
    cells = [(e, p, 0) for e in range(len(EXPRESSIONS)) for p in range(len(POSES))]
    both = [(e, _FRONT, f) for e in range(len(EXPRESSIONS)) for f in (1, 2)]
    rows = [cells[5 * e : 5 * e + 5] + both[2 * e : 2 * e + 2] for e in range(len(EXPRESSIONS))]
    flat = [one for line in rows for one in line]
    columns = [list(column) for column in zip(*flat, strict=True)]
    blocks = [_grid(_draw(_portraits([who] * len(flat), *columns), size), 7) for who in people]
    left, top, (wide, high) = 58, 14, blocks[0].size
    sheet = Image.new("RGB", (left + len(people) * (wide + 6), top + high), "white")
    pen = ImageDraw.Draw(sheet)
    for i, block in enumerate(blocks):
        sheet.paste(block, (left + i * (wide + 6), top))
        for k, name in enumerate([*POSES, *FACINGS[1:]]):
            pen.text((left + i * (wide + 6) + size * (k + 0.5), 6), name, "black", anchor="mm")
    for k, name in enumerate(EXPRESSIONS):
        pen.text((left - 4, top + size * (k + 0.5)), name, "black", anchor="rm")
    return sheet


def _landmarks(size: int = 480) -> Image.Image:
    """One face with its 106 numbers, its box and its five points; and one turned."""
    scenes = _portraits([13, 13], [_NEUTRAL, _HAPPY], [_FRONT, 3], [0, 0])
    pictures = _draw(scenes, size)
    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(truth))(scenes))
    sheet = Image.new("RGB", (2 * size, size))
    for i in range(2):
        faded = (pictures[i].astype(np.float32) * 0.75 + 64).astype(np.uint8)
        one = Image.fromarray(faded)
        pen = ImageDraw.Draw(one)
        pen.rectangle((found.box[i, 0] * size).tolist(), outline=(20, 140, 60), width=2)
        for number in range(LANDMARKS):
            x, y = (found.landmarks[i, 0, number] * size).tolist()
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(200, 0, 90))
            if i == 0:
                pen.text((x + 3, y - 4), str(number), (20, 20, 60), font_size=9)
        for x, y in (found.points[i, 0] * size).tolist():
            pen.ellipse((x - 5, y - 5, x + 5, y + 5), outline=(20, 60, 220), width=2)
        sheet.paste(one, (i * size, 0))
    return sheet


def _detections(face_pack: str, size: int = 200) -> Image.Image:
    """What a pack finds in scenes: boxes with scores, five points, 106 landmarks where it has them."""
    from dynamicid_jax.faces.pack import FacePack

    pack = FacePack.load(face_pack)
    sheet = Image.new("RGB", (6 * size, 2 * size))
    for i, picture in enumerate(_draw(_scenes(12), size)):
        faded = Image.fromarray((picture.astype(np.float32) * 0.8 + 51).astype(np.uint8))
        pen = ImageDraw.Draw(faded)
        for found in pack.detect(picture):
            record = pack.record(picture, found)
            marks = record.landmarks106
            for x, y in [] if marks is None else marks.tolist():
                pen.ellipse((x - 0.8, y - 0.8, x + 0.8, y + 0.8), fill=(200, 0, 90))
            pen.rectangle(found.box.tolist(), outline=(20, 140, 60), width=2)
            for x, y in found.points.tolist():
                pen.ellipse((x - 3, y - 3, x + 3, y + 3), outline=(20, 60, 220), width=2)
            pen.text((found.box[0] + 3, found.box[1]), f"{found.score:.2f}", (20, 90, 40))
        sheet.paste(faded, (i % 6 * size, i // 6 * size))
    return sheet
