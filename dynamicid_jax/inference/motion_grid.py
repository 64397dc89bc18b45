"""One person in every expression and pose on one sheet: rows are expressions, columns poses, the photo at the left."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

PHOTO, CELL = 120, 96  # pixels
GAP, LINE, MARGIN = 8, 14, 64


def motion_grid(
    images: Sequence[Image.Image],
    photo: Image.Image,
    name: str,
    expressions: Sequence[str],
    poses: Sequence[str],
) -> Image.Image:
    """The sheet.

    Args:
        images: row by row.
        photo: the reference.
        name: what is written below it.
        expressions: of the rows.
        poses: of the columns.
    """
    cells = [fitted(image, CELL) for image in images]
    wide, high = cells[0].size
    left = PHOTO + 2 * GAP + MARGIN
    top = LINE + GAP
    sheet = Image.new("RGB", (left + len(poses) * wide, top + len(expressions) * high), "white")
    pen = ImageDraw.Draw(sheet)
    sheet.paste(fitted(photo, PHOTO), (GAP, top))
    pen.text((GAP, top + PHOTO), name, fill="black")
    for column, pose in enumerate(poses):
        pen.text((left + (column + 0.5) * wide, top / 2), pose, "black", anchor="mm")
    for row, expression in enumerate(expressions):
        pen.text((left - GAP, top + (row + 0.5) * high), expression, "black", anchor="rm")
    for number, cell in enumerate(cells):
        row, column = divmod(number, len(poses))
        sheet.paste(cell, (left + column * wide, top + row * high))
    return sheet


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Scaled until its longer side is `side`."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
