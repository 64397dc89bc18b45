"""The demo's sheets: photos beside the picture made of them, and one person in every expression and pose."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from dynamicid_jax.cli.demo_scene import GRID_PERSON, Role
from dynamicid_jax.inference.gate_maps import mean_map, overlay
from dynamicid_jax.inference.pipeline import Output
from dynamicid_jax.packaged import photos
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

PHOTO, PICTURE, CELL = 120, 300, 96  # pixels
GAP, LINE, MARGIN = 8, 14, 64


def overview(roles: Sequence[Role], out: Output) -> Image.Image:
    """The photos with the words asked for, the picture, and where the gate let faces act (mean of all layers)."""
    picture = _fitted(out.images[0], PICTURE)
    lit = overlay(picture, mean_map(out.gate_maps, 0, picture.size))
    step = PHOTO + 2 * LINE + GAP
    left = PHOTO + 2 * GAP + MARGIN
    height = max(len(roles) * step, picture.height + LINE) + GAP
    sheet = Image.new("RGB", (left + 2 * (picture.width + GAP), height), "white")
    pen = ImageDraw.Draw(sheet)
    for row, role in enumerate(roles):
        top = GAP + row * step
        sheet.paste(_photo(role.name, PHOTO), (GAP, top))
        said = f"{role.name}, one photo\n{role.words.expression}, {role.words.view}"
        pen.multiline_text((GAP, top + PHOTO), said, fill="black", spacing=1)
    for column, (name, tile) in enumerate((("picture", picture), ("where the gate is open", lit))):
        corner = (left + column * (picture.width + GAP), GAP)
        pen.text(corner, name, fill="black")
        sheet.paste(tile, (corner[0], GAP + LINE))
    return sheet


def motion_grid(images: Sequence[Image.Image]) -> Image.Image:
    """Rows: expressions; columns: poses; the photo at the left.

    Args:
        images: in the order of demo_scene.GRID.
    """
    cells = [_fitted(image, CELL) for image in images]
    wide, high = cells[0].size
    left = PHOTO + 2 * GAP + MARGIN
    top = LINE + GAP
    sheet = Image.new("RGB", (left + len(POSES) * wide, top + len(EXPRESSIONS) * high), "white")
    pen = ImageDraw.Draw(sheet)
    sheet.paste(_photo(GRID_PERSON, PHOTO), (GAP, top))
    pen.text((GAP, top + PHOTO), f"{GRID_PERSON}, one photo", fill="black")
    for column, pose in enumerate(POSES):
        pen.text((left + (column + 0.5) * wide, top / 2), pose, "black", anchor="mm")
    for row, expression in enumerate(EXPRESSIONS):
        pen.text((left - GAP, top + (row + 0.5) * high), expression, "black", anchor="rm")
    for number, cell in enumerate(cells):
        row, column = divmod(number, len(POSES))
        sheet.paste(cell, (left + column * wide, top + row * high))
    return sheet


def _photo(name: str, side: int) -> Image.Image:
    with Image.open(photos()[name]) as photo:
        return _fitted(photo.convert("RGB"), side)


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """Scaled until its longer side is `side`."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
