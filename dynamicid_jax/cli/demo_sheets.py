"""The demo's sheets: photos beside the picture made of them, and one person in every expression and pose."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from dynamicid_jax.cli.demo_scene import GRID_PERSON, Role
from dynamicid_jax.inference.gate_maps import mean_map, overlay
from dynamicid_jax.inference.motion_grid import GAP, LINE, MARGIN, PHOTO, fitted, motion_grid
from dynamicid_jax.inference.pipeline import Output
from dynamicid_jax.packaged import photos
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

PICTURE = 300  # pixels


def overview(roles: Sequence[Role], out: Output) -> Image.Image:
    """The photos with the words asked for, the picture, and where the gate let faces act (mean of all layers)."""
    picture = fitted(out.images[0], PICTURE)
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


def demo_grid(images: Sequence[Image.Image]) -> Image.Image:
    """The demo's person in every expression and pose; images in the order of demo_scene.GRID."""
    photo = _photo(GRID_PERSON, PHOTO)
    return motion_grid(images, photo, f"{GRID_PERSON}, one photo", EXPRESSIONS, POSES)


def _photo(name: str, side: int) -> Image.Image:
    with Image.open(photos()[name]) as photo:
        return fitted(photo.convert("RGB"), side)
