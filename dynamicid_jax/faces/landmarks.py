"""Landmarks as the small picture that the keypoint encoder reads (METHOD section 4)."""

import numpy as np
from jaxtyping import Float

RASTER_SIZE = 96


def raster(
    landmarks: Float[np.ndarray, "k 2"], *, height: int, width: int
) -> Float[np.ndarray, "96 96"]:
    """Draws landmarks as single pixels: +1 on -1, [96 96] indexed row, column.

    The whole picture, `height` x `width` pixels, is stretched to 96 x 96, so the face's size and
    place in it matter, and its aspect does not survive. A point is drawn where 0 < x < 96 and
    0 < y < 96 after stretching, tested before it is cut to whole numbers: one on the left or upper
    edge itself is left out.

    Args:
        landmarks: any number of points (x, y) in pixels of the picture.
        height: of the picture the landmarks refer to.
        width: likewise.
    """
    scale = np.array([[RASTER_SIZE / width, RASTER_SIZE / height]])
    places = landmarks.astype(np.float64) * scale
    inside = ((places > 0) & (places < RASTER_SIZE)).all(axis=1)
    column, row = places[inside].astype(np.int64).T
    picture = np.full((RASTER_SIZE, RASTER_SIZE), -1.0, np.float32)
    picture[row, column] = 1.0
    return picture
