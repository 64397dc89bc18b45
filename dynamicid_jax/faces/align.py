"""A face in its standard place: the small upright picture that recognisers are trained on."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where ArcFace's training put eyes, nose tip and mouth corners, in a picture of 112 pixels."""


def aligned_face(
    photo: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "5 2"], size: int = 112
) -> UInt8[np.ndarray, "size size 3"]:
    """The face turned upright and scaled so that its five points fall where ArcFace expects them.

    By the similarity (rotation, scale, shift) with the least squared distance to ArcFace's points;
    what lies outside the photo is black. Channels keep their order.

    Args:
        photo: the picture.
        points: eyes, nose tip, mouth corners in its pixels.
        size: of the result; multiples of 112 fill the frame, others (128, ...) keep the margin that
            insightface gives them.
    """
    import cv2

    return cv2.warpAffine(photo, similarity(points, arcface_points(size)), (size, size))


def framed_face(
    photo: UInt8[np.ndarray, "h w *c"],
    box: Float[np.ndarray, "4"],
    frame: float,
    size: int,
    beyond: Literal["edge", "black"] = "edge",
) -> UInt8[np.ndarray, "size size *c"]:
    """The square of `frame` times the box's longer side, centred on the box, scaled to `size` pixels.

    Args:
        photo: the picture, with or without channels.
        box: x0, y0, x1, y1 in its pixels.
        frame: how much larger than the box.
        size: of the result.
        beyond: what lies outside the photo: its edge pixels again, or black.
    """
    import cv2

    side = max(1.0, frame * float((box[2:] - box[:2]).max()))
    scale = size / side
    corner = (box[:2].astype(np.float64) + box[2:]) / 2 - side / 2
    # Pixel centres lie at halves: x' + 0.5 = scale (x + 0.5 - corner).
    shift = scale * (0.5 - corner) - 0.5
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    border = cv2.BORDER_REPLICATE if beyond == "edge" else cv2.BORDER_CONSTANT
    if scale < 1:  # average what falls into one pixel, which sampling at points would not
        photo = cv2.GaussianBlur(photo, (0, 0), 0.5 / scale, borderType=border)
    mode: dict[str, Any] = {"flags": cv2.INTER_LINEAR, "borderMode": border}
    return cv2.warpAffine(photo, matrix, (size, size), **mode)


def arcface_points(size: int) -> Float[np.ndarray, "5 2"]:
    """Where eyes, nose tip and mouth corners belong in an aligned face of `size` pixels."""
    frame = 112 if size % 112 == 0 else 128
    margin = np.array([[(frame - 112) / 2, 0.0]])
    return (ARCFACE_POINTS + margin) * (size / frame)


def similarity(
    source: Float[np.ndarray, "k 2"], target: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "2 3"]:
    """The matrix [2 3] of the least-squares similarity from source to target points.

    As complex numbers z = x + iy a similarity is w = a z + b, so least squares is one division.
    """
    z, w = (points.astype(np.float64) @ np.array([1, 1j]) for points in (source, target))
    centred = z - z.mean()
    a = np.vdot(centred, w - w.mean()) / np.vdot(centred, centred)
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
