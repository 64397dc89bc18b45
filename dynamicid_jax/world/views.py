"""Crops as views: a face is rendered in its standard place, as sharp as any other picture.

A view [2 3] maps places of the crop to places of the scene (render.py).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.faces.align import ARCFACE_POINTS


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
    z, w = jnp.asarray(ARCFACE_POINTS, jnp.float32) / 112.0, points
    zc, wc = z - z.mean(0, keepdims=True), w - w.mean(0, keepdims=True)
    size = (wc * wc).sum()
    real = (wc * zc).sum() / size
    imag = (wc[:, 0] * zc[:, 1] - wc[:, 1] * zc[:, 0]).sum() / size
    det = real * real + imag * imag
    a = jnp.stack([jnp.stack([real, imag]), jnp.stack([-imag, real])]) / det
    shift = w.mean(0) - (a * z.mean(0)[None]).sum(1)
    return jnp.concatenate([a, shift[:, None]], 1)
