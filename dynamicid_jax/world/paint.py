"""Laying colour on a picture: planes of red, green and blue, [3 h w], changed by soft-edged shapes.

cover(sd, px) = clip(1/2 - sd / px, 0, 1)        the part of a pixel that a shape covers
put: picture (1 - cover) + colour cover
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.types import Number

Planes = Float[Array, "3 h w"]
Plane = Float[Array, "h w"]


class Light(NamedTuple):
    """Where the light comes from, as seen (right, down, towards the viewer), and its colour."""

    right: Float[Array, ""]
    down: Float[Array, ""]
    near: Float[Array, ""]
    warm: Float[Array, ""]  # cool (-1) to warm (1)


def cover(distance: Plane, px: Array | float) -> Plane:
    """The part of a pixel of width `px` that lies inside."""
    return jnp.clip(0.5 - distance / px, 0.0, 1.0)


def put(picture: Planes, alpha: Plane, colour: Float[Array, "3"] | Planes) -> Planes:
    """Lays a colour (one, or one per pixel) over the picture."""
    if colour.ndim == 1:
        colour = colour.reshape(3, 1, 1)
    return picture + (colour - picture) * alpha[None]


def rgb(r: Number, g: Number, b: Number) -> Float[Array, "3"]:
    """A constant colour."""
    return jnp.array([r, g, b], jnp.float32)


def lit(
    colour: Float[Array, "3"], right: Plane, down: Plane, near: Plane, light: Light, depth: float
) -> Planes:
    """A colour on a rounded surface: shadows turn warm and deep, the lit side a little lighter.

    Args:
        colour: of the material.
        right: the surface's normal, as seen.
        down: likewise.
        near: likewise.
        light: the scene's.
        depth: how dark shadows become, 0 to 1.
    """
    falls = right * light.right + down * light.down + near * light.near
    shadow = jnp.clip(0.62 - falls, 0.0, 1.0)
    shadow = (shadow * shadow * (3.0 - 2.0 * shadow) * depth)[None]
    glow = (jnp.clip(falls - 0.78, 0.0, 1.0) * 0.45)[None]
    tint = shade(colour, 0.66).reshape(3, 1, 1)
    base = colour.reshape(3, 1, 1)
    warm = jnp.array([0.10, 0.0, -0.12]).reshape(3, 1, 1) * light.warm
    return base + (tint - base) * shadow + (1.0 - base + warm) * glow * 0.55


def shade(colour: Float[Array, "3"], strength: float) -> Float[Array, "3"]:
    """A colour's shadow: darker, and towards red and violet rather than towards grey."""
    return colour * (
        strength * jnp.array([1.0, 0.9, 0.92]) + (1 - strength) * jnp.array([0.4, 0.2, 0.26])
    )


def soft(distance: Plane, width: float) -> Plane:
    """A wide soft edge, for blushes and shadows: 1 well inside, 0 at `width` outside."""
    t = jnp.clip(0.5 - distance / (2 * width), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
