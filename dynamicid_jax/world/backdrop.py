"""What is behind people: walls in soft light, and four places outdoors. And shirts."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.world.identity import Looks, _palette
from dynamicid_jax.world.paint import Light, Plane, Planes, cover, put, rgb, shade, soft
from dynamicid_jax.world.shapes import blend, circle, ellipse, ramp, segment

SHIRT_COLOURS = _palette(
    "DB4540", "3B6FCB", "3A9C5F", "F4C842", "8A56BC", "F6F2EA", "31313C", "F08A36"
)
# The upper and the lower colour of each background, in the order of scene.BACKGROUNDS.
_TOP = _palette(
    "A8D3F2",
    "B4E6CD",
    "F3E1BD",
    "F9C6CC",
    "D6C6F2",
    "DADADC",
    "9FD8F5",
    "A9DDF3",
    "141B3F",
    "5B4B9A",
)
_BOTTOM = _palette(
    "7FB4E2",
    "86CBA8",
    "E0C28E",
    "EF9FAD",
    "B49DE0",
    "B3B5BA",
    "DFF3F4",
    "E4F5F5",
    "3F4684",
    "FFB066",
)
_HILLS, _SEA, _NIGHT, _SUNSET = 6, 7, 8, 9


def background(x: Plane, y: Plane, px: Array, kind: Array, light: Light) -> Planes:
    """The background at places x, y (fractions of the picture) of pixels of width `px`."""
    top, bottom = (jnp.asarray(t)[kind].reshape(3, 1, 1) for t in (_TOP, _BOTTOM))
    fall = ramp(0.0, 1.0, y)[None]
    picture = top + (bottom - top) * fall
    wall = kind < _HILLS
    glow = soft(circle(x - 0.5 - 0.25 * light.right, y - 0.35, 0.12), 0.5) * wall
    picture = put(picture, glow * 0.38, rgb(1.0, 0.99, 0.96))
    picture = _hills(picture, x, y, px, (kind == _HILLS) * 1.0)
    picture = _sea(picture, x, y, px, (kind == _SEA) * 1.0)
    picture = _night(picture, x, y, px, (kind == _NIGHT) * 1.0)
    return _sunset(picture, x, y, px, (kind == _SUNSET) * 1.0)


def _hills(picture: Planes, x: Plane, y: Plane, px: Array, on: Array) -> Planes:
    for cx, cy, r in (
        (0.16, 0.16, 0.05),
        (0.23, 0.17, 0.065),
        (0.31, 0.18, 0.045),
        (0.8, 0.1, 0.05),
        (0.87, 0.11, 0.04),
    ):
        picture = put(
            picture, soft(ellipse(x - cx, y - cy, r * 1.3, r * 0.8), 0.02) * on * 0.9, rgb(1, 1, 1)
        )
    for height, wave, shift, colour in (
        (0.52, 5.0, 0.3, (0.55, 0.79, 0.5)),
        (0.62, 7.0, 2.1, (0.42, 0.7, 0.4)),
        (0.76, 4.0, 4.4, (0.3, 0.6, 0.34)),
    ):
        hill = height + 0.05 * jnp.sin(x * wave + shift) - y
        picture = put(picture, cover(hill, px) * on, rgb(*colour))
    return picture


def _sea(picture: Planes, x: Plane, y: Plane, px: Array, on: Array) -> Planes:
    sun = circle(x - 0.82, y - 0.17, 0.075)
    picture = put(picture, soft(sun, 0.09) * on * 0.5, rgb(1.0, 0.95, 0.75))
    picture = put(picture, cover(sun, px) * on, rgb(1.0, 0.93, 0.66))
    water = put(
        jnp.zeros_like(picture) + rgb(0.18, 0.56, 0.74).reshape(3, 1, 1),
        ramp(0.5, 0.82, y),
        rgb(0.3, 0.75, 0.8),
    )
    picture = put(picture, cover(0.5 - y, px) * on, water)
    foam = jnp.abs(y - 0.6 - 0.012 * jnp.sin(x * 26.0)) - 0.006
    foam = jnp.minimum(foam, jnp.abs(y - 0.71 - 0.014 * jnp.sin(x * 19.0 + 2)) - 0.007)
    picture = put(picture, cover(foam, px) * on * 0.6, rgb(0.9, 0.98, 1.0))
    sand = 0.82 + 0.02 * jnp.sin(x * 6 + 1) - y
    return put(picture, cover(sand, px) * on, rgb(0.96, 0.87, 0.66))


def _night(picture: Planes, x: Plane, y: Plane, px: Array, on: Array) -> Planes:
    column, line = jnp.floor(x * 7), jnp.floor(y * 7)
    chance = jnp.abs(jnp.sin(column * 12.9 + line * 78.2)) * 7.0  # small numbers: equal everywhere
    chance = chance - jnp.floor(chance)
    sx = x * 7 - column - 0.25 - 0.5 * chance
    sy = y * 7 - line - 0.75 + 0.5 * chance
    stars = circle(sx, sy, 0.05 + 0.06 * chance) / 7
    picture = put(picture, cover(stars, px) * on * 0.9, rgb(1.0, 0.97, 0.85))
    moon = jnp.maximum(circle(x - 0.83, y - 0.16, 0.085), -circle(x - 0.79, y - 0.14, 0.075))
    return put(picture, cover(moon, px) * on, rgb(1.0, 0.95, 0.78))


def _sunset(picture: Planes, x: Plane, y: Plane, px: Array, on: Array) -> Planes:
    picture = put(picture, soft(jnp.abs(y - 0.5) - 0.05, 0.3) * on * 0.75, rgb(0.98, 0.5, 0.5))
    sun = circle(x - 0.2, y - 0.56, 0.14)
    picture = put(picture, soft(sun, 0.15) * on * 0.5, rgb(1.0, 0.8, 0.5))
    picture = put(picture, cover(sun, px) * on, rgb(1.0, 0.87, 0.55))
    far = 0.66 + 0.045 * jnp.sin(x * 8 + 0.5) + 0.02 * jnp.sin(x * 21) - y
    picture = put(picture, cover(far, px) * on, rgb(0.47, 0.27, 0.47))
    near = 0.8 + 0.04 * jnp.sin(x * 5 + 2.5) - y
    return put(picture, cover(near, px) * on, rgb(0.3, 0.17, 0.36))


def paint_body(
    picture: Planes, u: Plane, v: Plane, px: Array, look: Looks, neck: Float[Array, "2"], shirt: Array, collar: Array,
    light: Light,
) -> Planes:  # fmt: skip
    """Neck, shoulders and shirt, in head units; `neck` is where the neck meets the head."""
    colour = jnp.asarray(SHIRT_COLOURS)[shirt]
    stem = segment(u, v, neck[0], neck[1], 0.0, 1.5) - 0.3
    picture = put(picture, cover(stem, px), look.skin * rgb(0.9, 0.82, 0.8))
    shadow = soft(ellipse(u - neck[0], v - neck[1] - 0.28, 0.46, 0.42), 0.16) * cover(stem, px)
    picture = put(picture, shadow * 0.75, shade(look.skin, 0.45))
    torso = ellipse(u, v - 2.3, 1.25, 1.12)
    yoke = segment(u, v, -0.3, 1.2, 0.3, 1.2) - 0.13
    torso = blend(torso, yoke, 0.3)
    opening = ellipse(u, v - 1.12, 0.37, 0.24)
    vee = jnp.maximum(jnp.abs(u) * 0.86 + (v - 1.12) * 0.5 - 0.26, 0.9 - v)
    opening = jnp.where(collar == 1, jnp.minimum(vee, ellipse(u, v - 1.09, 0.35, 0.14)), opening)
    bare = jnp.maximum(opening, torso - 0.02)
    picture = put(picture, cover(torso, px), colour)
    side = jnp.clip(0.5 - 0.45 * u * light.right, 0.0, 1.0)
    dark = colour * jnp.array([0.66, 0.62, 0.72])
    picture = put(picture, cover(torso, px) * side * soft(-torso - 0.12, 0.22) * 0.55, dark)
    sleeve = segment(jnp.abs(u), v, 0.74, 2.0, 0.7, 2.6) - 0.012
    picture = put(picture, cover(sleeve, px) * cover(torso, px) * 0.5, dark)
    edge = jnp.maximum(jnp.abs(opening) - 0.045, torso)
    skin = look.skin * rgb(0.97, 0.91, 0.89)
    drop = soft(ellipse(u - neck[0] * 0.7, v - 0.95, 0.5, 0.3), 0.14)[None]
    below = skin.reshape(3, 1, 1) + (shade(look.skin, 0.5) - skin).reshape(3, 1, 1) * drop * 0.7
    picture = put(picture, cover(bare, px), below)
    return put(picture, cover(edge, px), colour * 0.84)
