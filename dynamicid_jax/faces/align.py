"""A face in its standard place: the small upright picture that recognisers are trained on."""

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
