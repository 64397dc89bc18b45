"""Crops as views: a face is rendered in its standard place, as sharp as any other picture.

A view [2 3] maps places of the crop to places of the scene (render.py).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Where ArcFace expects eyes, nose tip and mouth corners, in pixels of 112 x 112.
_ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)  # fmt: skip


def box_view(box: Float[Array, "4"], factor: float = 2.0) -> Float[Array, "2 3"]:
    """A square of `factor` times the box's longer side, centred on it (METHOD's reference crop)."""
    side = factor * jnp.maximum(box[2] - box[0], box[3] - box[1])
    corner = (box[:2] + box[2:]) * 0.5 - side * 0.5
    return jnp.concatenate([side * jnp.eye(2), corner[:, None]], 1)


def aligned_view(points: Float[Array, "5 2"]) -> Float[Array, "2 3"]:
    """The crop that recognisers see: the similarity that brings ArcFace's points to the face's.

    Least squares from the points to the template, as faces.align does it, then inverted: with z the
    template and w the points as complex numbers, z = c w + d.
    """
    z, w = jnp.asarray(_ARCFACE) / 112.0, points
    zc, wc = z - z.mean(0, keepdims=True), w - w.mean(0, keepdims=True)
    size = (wc * wc).sum()
    real = (wc * zc).sum() / size
    imag = (wc[:, 0] * zc[:, 1] - wc[:, 1] * zc[:, 0]).sum() / size
    det = real * real + imag * imag
    a = jnp.stack([jnp.stack([real, imag]), jnp.stack([-imag, real])]) / det
    shift = w.mean(0) - (a * z.mean(0)[None]).sum(1)
    return jnp.concatenate([a, shift[:, None]], 1)
