"""The curves of lids, brows and mouth, shared by the painter and by the ground truth.

All are heights y (down) over a place t along the feature, -1 to 1, in head units; of the eyes and
brows -1 is the inner end and 1 the outer one, of the mouth -1 is on the picture's left.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from dynamicid_jax.world.identity import EYE_Y, Looks
from dynamicid_jax.world.motion import Knobs

BROW_REACH = 0.185  # half length of a brow
_BEND = 0.105  # corners of a full smile over its middle, halved
_GAPE = 0.3  # height of a mouth wide open


class Lids(NamedTuple):
    """Upper and lower edge of an open eye, under EYE_Y."""

    upper: Array
    lower: Array


def lids(look: Looks, knob: Knobs, t: Array) -> Lids:
    """The lids over t; both meet at the corners, which no expression moves."""
    t = jnp.clip(t, -1.0, 1.0)
    square = t * t
    dome = 1.0 - square * (0.55 + 0.45 * square)
    fall = jnp.maximum(knob.slant * t + jnp.abs(knob.slant) * 0.45, 0.0) * 0.95
    upper = -look.eye_h * dome * jnp.maximum(1.0 + knob.lid - fall, 0.12)
    lower = look.eye_h * 0.6 * (1.0 - square) * (1.0 - knob.lower_lid)
    return Lids(jnp.minimum(upper, lower - 0.03 * dome), lower)


def eye_lift(look: Looks, t: Array) -> Array:
    """How far a tilted eye rises towards its outer corner."""
    return look.eye_tilt * look.eye_w * t


def brow(look: Looks, knob: Knobs, t: Array, side: Array | float) -> Array:
    """Height of a brow's middle line; `side` is 1 for the brow on the picture's right, else -1."""
    t = jnp.clip(t, -1.0, 1.0)
    raised = knob.brow_in * (1 - t) * 0.5 + knob.brow_out * (1 + t) * 0.5
    raised = raised + look.brow_arch * (1.0 - t * t) + knob.brow_skew * side
    return EYE_Y - look.eye_h - 0.1 - look.eye_tilt * 0.06 * t - raised


def brow_weight(look: Looks, t: Array) -> Array:
    """Half thickness of a brow: it tapers outwards."""
    return look.brow * (1.0 - 0.35 * jnp.clip(t, -1.0, 1.0))


class Mouth(NamedTuple):
    """The mouth's four curves, under `mouth_y`; the inner two meet where it is closed."""

    outer_top: Array
    inner_top: Array
    inner_bottom: Array
    outer_bottom: Array


def mouth_width(look: Looks, knob: Knobs) -> Array:
    """Half width."""
    return look.mouth_w * (1.0 + knob.wide)


def mouth(look: Looks, knob: Knobs, t: Array) -> Mouth:
    """The mouth's curves over t."""
    t = jnp.clip(t, -1.0, 1.0)
    square = t * t
    rounded = jnp.sqrt(1.0 - square + 1e-4)
    boxed = jnp.sqrt(1.0 - square**4 + 1e-4)
    profile = rounded + (boxed - rounded) * knob.square
    middle = mouth_middle(knob, t)
    gape = jnp.maximum(knob.open, 0.0) * _GAPE * profile
    top = middle - gape * 0.5 * (1.0 - knob.lower)
    bottom = middle + gape * 0.5 * (1.0 + knob.lower)
    stretch = 1.0 / (1.0 + 0.8 * jnp.maximum(knob.open, 0.0))  # an open mouth's lips are thinner
    bow = 1.0 - 0.3 * jnp.exp(-square * 30.0)
    lip = look.lips * stretch
    return Mouth(
        outer_top=top - lip * 0.85 * rounded * bow - 0.012,
        inner_top=top,
        inner_bottom=bottom,
        outer_bottom=bottom + lip * rounded + 0.012,
    )


def mouth_middle(knob: Knobs, t: Array) -> Array:
    """The line where the lips would meet: bent by a smile, tilted by disgust."""
    bend = knob.smile * _BEND * (1.0 - 2.0 * t * t)
    return bend + knob.skew * 0.09 * t


def mouth_slope(look: Looks, knob: Knobs, t: Array) -> Array:
    """Height per length of the middle line, for distances across it."""
    rise = -4.0 * _BEND * knob.smile * t + knob.skew * 0.09
    return rise / mouth_width(look, knob)
