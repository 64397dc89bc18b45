"""A head in space, seen from afar: turned by R = Rz(roll) Ry(yaw) Rx(pitch) about the neck.

    seen(p) = (R (p - PIVOT) + PIVOT)_xy           a point p of the head in the head's own plane
    |R^T q / axes| = 1                             an ellipsoid; its outline is an ellipse with matrix
    S = (R diag(axes^2) R^T)_xy,   q^T S^-1 q = 1
    q = (u, v, z):  |R^T q / axes|^2 = 1           solved for the nearer z: the surface point at (u, v)

Everything on a face is described on its surface, in head coordinates, so that turning needs no
further rule: features move, foreshorten and hide as the surface does. Signs are faces/pose.py's.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynamicid_jax.world.identity import EYE_Y, Looks
from dynamicid_jax.world.motion import Knobs, Motion
from dynamicid_jax.world.shapes import blend

PIVOT = np.array([0.0, 0.55, -0.1], np.float32)
HEIGHT, DEPTH = 1.04, 0.8  # half axes of the head, beside its width
JAW_DROP = 0.1  # head units by which an open mouth lowers the chin


class Surface(NamedTuple):
    """The head's surface under every pixel."""

    x: Float[Array, "h w"]  # head coordinates
    y: Float[Array, "h w"]
    z: Float[Array, "h w"]
    facing: Float[Array, "h w"]  # cosine between the surface's normal and the view
    right: Float[Array, "h w"]  # the normal's other coordinates, as seen
    down: Float[Array, "h w"]


def rotation(move: Motion) -> Float[Array, "3 3"]:
    """R of one face."""
    yaw, pitch, roll = (jnp.radians(angle) for angle in (move.yaw, move.pitch, move.roll))
    cy, sy, cp, sp = jnp.cos(yaw), jnp.sin(yaw), jnp.cos(pitch), jnp.sin(pitch)
    cr, sr = jnp.cos(roll), jnp.sin(roll)
    zero, one = jnp.zeros_like(yaw), jnp.ones_like(yaw)

    def matrix(*entries: Array) -> Array:
        return jnp.stack(entries).reshape(3, 3)

    rz = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    ry = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    rx = matrix(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    return _product(rz, _product(ry, rx))


def _product(a: Float[Array, "3 3"], b: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """A b in full float32: matrix units may round to bfloat16."""
    return (a[:, :, None] * b[None, :, :]).sum(1)


def seen(turn: Float[Array, "3 3"], points: Float[Array, "k 3"]) -> Float[Array, "k 2"]:
    """Where points of the head appear."""
    moved = ((points - PIVOT[None])[:, None, :] * turn[None]).sum(-1) + PIVOT[None]
    return moved[:, :2]


def nearness(turn: Float[Array, "3 3"], points: Float[Array, "k 3"]) -> Float[Array, "k"]:
    """How far towards the viewer points of the head are."""
    return (points * turn[2][None]).sum(-1)


def outline(
    u: Array,
    v: Array,
    turn: Float[Array, "3 3"],
    centre: tuple[Array | float, Array | float, Array | float],
    axes: tuple[Array | float, Array | float, Array | float],
) -> Array:
    """Signed distance to an ellipsoid's outline."""
    where = seen(turn, jnp.stack([jnp.asarray(c, jnp.float32) for c in centre])[None])[0]
    squares = jnp.stack([jnp.asarray(a, jnp.float32) ** 2 for a in axes])
    s = (turn[:2, None, :] * turn[None, :2, :] * squares[None, None, :]).sum(-1)
    det = s[0, 0] * s[1, 1] - s[0, 1] * s[0, 1]
    a, b, d = s[1, 1] / det, -s[0, 1] / det, s[0, 0] / det
    p, q = u - where[0], v - where[1]
    gx, gy = a * p + b * q, b * p + d * q
    k = jnp.sqrt(p * gx + q * gy + 1e-6)
    return k * (k - 1.0) / jnp.sqrt(gx * gx + gy * gy + 1e-6)


def surface(
    u: Float[Array, "h w"],
    v: Float[Array, "h w"],
    turn: Float[Array, "3 3"],
    centre: tuple[float, Array | float, float],
    axes: tuple[Array | float, Array | float, Array | float],
) -> Surface:
    """The nearer surface of an ellipsoid; outside of its outline the nearest rim, smoothly continued."""
    middle = jnp.stack([jnp.asarray(c, jnp.float32) for c in centre])
    offset = ((middle - PIVOT)[None] * turn).sum(-1) + PIVOT
    p, q = u - offset[0], v - offset[1]
    start = [turn[0, i] * p + turn[1, i] * q for i in range(3)]
    inverse = [1.0 / jnp.asarray(a, jnp.float32) for a in axes]
    s = [start[i] * inverse[i] for i in range(3)]
    d = [turn[2, i] * inverse[i] for i in range(3)]
    dd = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    sd = s[0] * d[0] + s[1] * d[1] + s[2] * d[2]
    ss = s[0] * s[0] + s[1] * s[1] + s[2] * s[2]
    z = (jnp.sqrt(jnp.maximum(sd * sd - dd * (ss - 1.0), 0.0)) - sd) / dd
    at = [start[i] + z * turn[2, i] for i in range(3)]
    n = [at[i] * inverse[i] * inverse[i] for i in range(3)]
    size = 1.0 / jnp.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2] + 1e-9)
    right, down, facing = (
        (turn[i, 0] * n[0] + turn[i, 1] * n[1] + turn[i, 2] * n[2]) * size for i in range(3)
    )
    x, y, depth = (at[i] + middle[i] for i in range(3))
    return Surface(x, y, depth, jnp.maximum(facing, 0.0), right, down)


def unrolled(s: Surface, look: Looks, head: Array) -> Surface:
    """The surface with x going on behind the ears, and far away off the head: no feature repeats there."""
    behind = jnp.where(s.x >= 0, 2.0, -2.0) * look.width - s.x
    x = jnp.where(s.z >= 0, s.x, behind)
    return s._replace(x=jnp.where(head < 0.1, x, 9.0))


def head_axes(look: Looks) -> tuple[Array, float, float]:
    """Half axes of the ellipsoid that carries the face."""
    return look.width, HEIGHT, DEPTH


def face_depth(look: Looks, x: Array, y: Array) -> Array:
    """Z of the face's surface at (x, y)."""
    inside = 1.0 - (x / look.width) ** 2 - (y / HEIGHT) ** 2
    return DEPTH * jnp.sqrt(jnp.maximum(inside, 0.02))


def nose_points(look: Looks) -> Float[Array, "4 3"]:
    """Between the eyes, tip, left and right nostril; the tip stands out, so it moves most."""
    w, zero = look.nose_w, jnp.zeros_like(look.nose_w)
    high, tip, low = EYE_Y + 0.03 + zero, look.nose_y, look.nose_y + 0.035
    z = face_depth(look, zero, tip)
    top = jnp.stack([zero, high, face_depth(look, zero, high) + 0.02])
    end = jnp.stack([zero, tip, z + 0.19])
    return jnp.stack([top, end, jnp.stack([-w, low, z + 0.02]), jnp.stack([w, low, z + 0.02])])


def chin_drop(knob: Knobs) -> Array:
    """How far the chin is lowered by an open mouth."""
    return JAW_DROP * jnp.maximum(knob.open, 0.0) * (1.0 - 0.5 * knob.square)


def head_outline(
    u: Array, v: Array, turn: Float[Array, "3 3"], look: Looks, knob: Knobs, grown: float = 0.0
) -> Array:
    """Signed distance to the head's outline (skull, cheeks and jaw; without ears, nose and hair)."""
    drop = chin_drop(knob)
    g = grown
    skull = outline(u, v, turn, (0.0, -0.2, -0.12), (look.width * 0.99 + g, 0.82 + g, 0.86 + g))
    face = outline(u, v, turn, (0.0, 0.0, 0.0), (look.width * 0.97 + g, HEIGHT + g, DEPTH + g))
    cheeks = outline(u, v, turn, (0.0, 0.26, 0.06), (look.cheeks + g, 0.5 + g, 0.68 + g))
    jaw = outline(u, v, turn, (0.0, 0.55 + drop, 0.1), (look.jaw + g, 0.47 + g, 0.6 + g))
    return blend(blend(skull, face, 0.1), blend(cheeks, jaw, 0.25), 0.16)
