"""Signed distances: negative inside, zero on the edge, about the distance to it elsewhere.

All take points x, y of any shape and numbers that broadcast with them.
"""

import jax.numpy as jnp
from jaxtyping import Array

_TINY = 1e-6


def ellipse(x: Array, y: Array, w: Array | float, h: Array | float) -> Array:
    """An upright ellipse about the origin: k (k - 1) / |grad k^2 / 2|, k = |(x / w, y / h)|."""
    p, q = x / w, y / h
    k = jnp.sqrt(p * p + q * q + _TINY)
    p, q = p / w, q / h
    return k * (k - 1.0) / jnp.sqrt(p * p + q * q + _TINY)


def circle(x: Array, y: Array, r: Array | float) -> Array:
    """A disc about the origin."""
    return jnp.sqrt(x * x + y * y + _TINY) - r


def segment(
    x: Array,
    y: Array,
    x0: Array | float,
    y0: Array | float,
    x1: Array | float,
    y1: Array | float,
) -> Array:
    """Distance to a line from (x0, y0) to (x1, y1); subtract a radius for a stroke."""
    dx, dy = x1 - x0, y1 - y0
    t = jnp.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + _TINY), 0.0, 1.0)
    p, q = x - x0 - t * dx, y - y0 - t * dy
    return jnp.sqrt(p * p + q * q + _TINY)


def box(x: Array, y: Array, w: Array | float, h: Array | float, r: Array | float) -> Array:
    """A rectangle of half sizes w, h about the origin, with corners of radius r."""
    p, q = jnp.abs(x) - w + r, jnp.abs(y) - h + r
    outside = jnp.sqrt(jnp.maximum(p, 0.0) ** 2 + jnp.maximum(q, 0.0) ** 2 + _TINY)
    return outside + jnp.minimum(jnp.maximum(p, q), 0.0) - r


def blend(a: Array, b: Array, k: float) -> Array:
    """The union of two shapes with a fillet of about k between them."""
    part = jnp.maximum(k - jnp.abs(a - b), 0.0) / k
    return jnp.minimum(a, b) - part * part * (k * 0.25)


def ramp(low: Array | float, high: Array | float, x: Array) -> Array:
    """A smooth step from 0 at `low` to 1 at `high`."""
    t = jnp.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def zigzag(x: Array) -> Array:
    """A triangle wave of period 1 between 0 and 1."""
    return jnp.abs(x - jnp.floor(x) - 0.5) * 2.0
