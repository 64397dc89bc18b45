"""What a face does: seven expressions, the studio grid's five poses, up and down, and everything between.

A `Motion` holds whole numbers and exact fractions (see factors.py). `knobs` turns an expression
into the amounts by which brows, lids and mouth move; angles are whole 1/256 degrees, with the
signs of faces/pose.py: yaw positive to the picture's right, pitch positive up, roll clockwise.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynamicid_jax.world.factors import choice, unit, weighted

EXPRESSIONS = ("happy", "surprise", "sad", "anger", "disgust", "fear", "neutral")  # faces.prompts'
POSES = ("full left", "half left", "front", "half right", "full right")  # the studio grid's order
FACINGS = ("level", "up", "down")
YAWS = (-46, -24, 0, 24, 46)  # degrees, in the order of POSES
PITCHES = (0, 21, -21)  # in the order of FACINGS
CELLS = len(EXPRESSIONS) * len(POSES)
_SHAKE = 8  # degrees: a pose is met within half of this
_TILT = 12  # degrees of roll, likewise


class Motion(NamedTuple):
    """One face's motion."""

    expression: Int[Array, "*s"]  # of EXPRESSIONS
    pose: Int[Array, "*s"]  # of POSES
    facing: Int[Array, "*s"]  # of FACINGS
    yaw: Float[Array, "*s"]  # degrees
    pitch: Float[Array, "*s"]
    roll: Float[Array, "*s"]
    strength: Float[Array, "*s"]  # of the expression, a fraction
    gaze: Float[Array, "*s"]  # to the picture's left to its right
    mouth: Float[Array, "*s"]  # small variations of mouth and brows, fractions
    brows: Float[Array, "*s"]


def motion(
    seed: Array,
    expression: Int[Array, "*s"] | None = None,
    pose: Int[Array, "*s"] | None = None,
    facing: Int[Array, "*s"] | None = None,
    *,
    calm: bool = False,
) -> Motion:
    """A motion drawn from a seed; what is given is kept.

    Args:
        seed: whole numbers of any shape.
        expression: of EXPRESSIONS; drawn evenly.
        pose: of POSES; drawn evenly.
        facing: of FACINGS; level in three of five.
        calm: exactly at the middle of expression and pose, without variations (for sheets).
    """
    expression = choice(seed, "expression", len(EXPRESSIONS)) if expression is None else expression
    pose = choice(seed, "pose", len(POSES)) if pose is None else pose
    facing = weighted(seed, "facing", (3, 1, 1)) if facing is None else facing

    def part(name: str) -> Float[Array, "*s"]:  # an exact fraction, 1/2 when calm
        return jnp.full(seed.shape, 0.5) if calm else unit(seed, name)

    return Motion(
        expression=expression,
        pose=pose,
        facing=facing,
        yaw=_degrees(YAWS, pose, part("yaw"), _SHAKE),
        pitch=_degrees(PITCHES, facing, part("pitch"), _SHAKE),
        roll=_degrees((0,), jnp.zeros_like(pose), part("roll"), _TILT),
        strength=part("strength"),
        gaze=part("gaze"),
        mouth=part("mouth"),
        brows=part("brows"),
    )


def _degrees(
    middles: tuple[int, ...], index: Int[Array, "*s"], part: Float[Array, "*s"], width: int
) -> Float[Array, "*s"]:
    """Middle + (part - 1/2) width in whole 1/256 degrees: whole numbers first, so nothing rounds."""
    steps = jnp.floor(part * (256 * width)).astype(jnp.int32) - 128 * width
    whole = jnp.asarray(middles, jnp.int32)[index] * 256 + steps
    return whole.astype(jnp.float32) * (2.0**-8)


class Knobs(NamedTuple):
    """How far an expression moves what; 0 is rest, lengths in head units."""

    brow_in: Float[Array, ""]  # inner ends raised
    brow_out: Float[Array, ""]  # outer ends raised
    brow_pinch: Float[Array, ""]  # inner ends towards each other
    brow_skew: Float[Array, ""]  # the picture's right brow raised against the left
    lid: Float[Array, ""]  # how much wider the upper lid opens, as a factor less 1
    lower_lid: Float[Array, ""]  # how far the lower lid closes, a fraction
    slant: Float[Array, ""]  # upper lids fall outwards (sad, > 0) or inwards (anger, < 0)
    smile: Float[Array, ""]  # mouth corners up
    open: Float[Array, ""]  # jaw
    wide: Float[Array, ""]  # factor of the mouth's width, less 1
    square: Float[Array, ""]  # an open mouth with corners, teeth together
    lower: Float[Array, ""]  # 0: the opening is symmetric; 1: it hangs below the corners
    skew: Float[Array, ""]  # one corner of the mouth higher
    teeth: Float[Array, ""]  # upper teeth seen
    tongue: Float[Array, ""]  # out
    flush: Float[Array, ""]  # redder
    pale: Float[Array, ""]  # bluer
    green: Float[Array, ""]
    tear: Float[Array, ""]
    wrinkle: Float[Array, ""]  # of the nose
    iris: Float[Array, ""]  # factor of its size, less 1
    look: Float[Array, ""]  # eyes downward


# Strong and well apart: they must be told from each other on a face 20 pixels wide.
_TABLE: dict[str, dict[str, float]] = {
    "happy": {"brow_in": 0.07, "brow_out": 0.07, "lid": -0.12, "lower_lid": 0.6, "smile": 1.0, "open": 0.62,
              "wide": 0.3, "lower": 1.0, "teeth": 1.0, "flush": 0.45},
    "surprise": {"brow_in": 0.22, "brow_out": 0.2, "lid": 0.42, "lower_lid": -0.25, "open": 1.0, "wide": -0.38,
                 "lower": 0.45, "iris": -0.08},
    "sad": {"brow_in": 0.19, "brow_out": -0.1, "brow_pinch": 0.05, "lid": -0.3, "slant": 0.55, "smile": -1.05,
            "wide": -0.14, "tear": 1.0, "look": 0.55, "pale": 0.15},
    "anger": {"brow_in": -0.17, "brow_out": 0.13, "brow_pinch": 0.07, "lid": -0.12, "lower_lid": 0.15,
              "slant": -0.75, "smile": -0.3, "open": 0.42, "wide": 0.12, "square": 1.0, "lower": 0.5, "teeth": 1.0,
              "flush": 1.0},
    "disgust": {"brow_in": -0.12, "brow_out": -0.05, "brow_pinch": 0.05, "brow_skew": 0.12, "lid": -0.5,
                "lower_lid": 0.45, "slant": -0.1, "smile": -0.6, "open": 0.2, "wide": 0.02, "lower": 0.7,
                "skew": 0.5, "tongue": 1.0, "green": 1.0, "wrinkle": 1.0},
    "fear": {"brow_in": 0.26, "brow_out": 0.02, "brow_pinch": 0.07, "lid": 0.34, "lower_lid": -0.3, "slant": 0.12,
             "smile": -0.55, "open": 0.6, "wide": 0.12, "square": 0.7, "lower": 0.2,
             "pale": 1.0, "iris": -0.42},
    "neutral": {"smile": 0.2, "brow_in": 0.02, "brow_out": 0.03},
}  # fmt: skip
_ROWS = np.array(
    [[_TABLE[name].get(knob, 0.0) for knob in Knobs._fields] for name in EXPRESSIONS], np.float32
)


def knobs(move: Motion) -> Knobs:
    """The amounts of one face (leaves without axes): the expression's, 0.85 to 1.1 times as strong."""
    values = Knobs(*(jnp.asarray(_ROWS)[move.expression] * (0.85 + 0.25 * move.strength)))
    small = (move.brows - 0.5) * 0.06
    return values._replace(
        brow_in=values.brow_in + small,
        brow_out=values.brow_out + small,
        smile=values.smile + (move.mouth - 0.5) * 0.16,
        lid=values.lid + (move.brows - 0.5) * 0.1,
    )


def cell(expression: Int[Array, "*s"], pose: Int[Array, "*s"]) -> Int[Array, "*s"]:
    """The cell of the 7 x 5 studio grid: 5 * expression + pose."""
    return expression * len(POSES) + pose
