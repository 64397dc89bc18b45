"""Pictures in labelled rows on one sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from dynamicid_jax.types import Number

TILE = 192  # pixels of a tile's longer side
GAP = 10
LINE = 17  # pixels of a line of text
INK, FAINT, PAPER, FRAME = "#1b1f24", "#656d76", "white", "#d0d7de"


@dataclass(frozen=True)
class Tile:
    """A picture and the line under it."""

    image: Image.Image | None
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """Tiles side by side, under a line about all of them."""

    label: str
    tiles: tuple[Tile, ...]


def font(size: Number) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that comes with Pillow."""
    return ImageFont.load_default(size)


def fitted(text: str, width: Number, size: Number) -> str:
    """The text, cut to a width in pixels with an ellipsis."""
    face = font(size)
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def sheet(title: str, rows: Sequence[Row], tile: int = TILE) -> Image.Image:
    """All rows under a title; every tile gets the same room."""
    columns = max((len(row.tiles) for row in rows), default=1)
    width = max(columns * (tile + GAP) + GAP, 480)
    height_of_row = LINE + GAP // 2 + tile + LINE + GAP
    canvas = Image.new("RGB", (width, 2 * GAP + LINE + len(rows) * height_of_row), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP // 2), fitted(title, width - 2 * GAP, 16), INK, font(16))
    for number, row in enumerate(rows):
        top = GAP + LINE + GAP // 2 + number * height_of_row
        draw.text((GAP, top), fitted(row.label, width - 2 * GAP, 12), FAINT, font(12))
        for column, one in enumerate(row.tiles):
            _paste(canvas, draw, one, (GAP + column * (tile + GAP), top + LINE), tile)
    return canvas


def _paste(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, one: Tile, corner: tuple[int, int], tile: int
) -> None:
    left, top = corner
    if one.image is None:
        draw.rectangle((left, top, left + tile - 1, top + tile - 1), outline=FRAME)
        draw.text((left + tile / 2, top + tile / 2), "not finite", FAINT, font(13), anchor="mm")
    else:
        scale = tile / max(one.image.size)
        size = tuple(max(1, round(side * scale)) for side in one.image.size)
        # small pictures keep their pixels visible; large ones are averaged
        way = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
        small = one.image.convert("RGB").resize((size[0], size[1]), way)
        canvas.paste(small, (left + (tile - size[0]) // 2, top + (tile - size[1]) // 2))
    draw.text((left, top + tile + 2), fitted(one.caption, tile, 12), INK, font(12))
