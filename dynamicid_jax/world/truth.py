"""What is true of a picture: face boxes, key points, 106 landmarks, pose, expression, identity.

Places are fractions of the picture; left and right are the picture's. The 106 landmarks follow the
usual layout; every expression moves only the points named in MOTION_POINTS.

    0 .. 32     contour from the left ear over the chin (16) to the right ear
    33 .. 37    left brow's upper edge, left to right        64 .. 67    its lower edge
    38 .. 42    right brow's upper edge, left to right       68 .. 71    its lower edge
    43 .. 46    ridge of the nose, from between the eyes to its tip (46)
    47 .. 51    lower edge of the nose, left to right
    52 .. 57    left eye: outer corner, two of the upper lid, inner corner, two of the lower lid
    58 .. 63    right eye: inner corner, two of the upper lid, outer corner, two of the lower lid
    72 .. 74    left eye: middle of the upper lid, of the lower lid, of the eye
    75 .. 77    right eye, likewise
    78, 79      sides of the nose beside its ridge, left, right
    80, 81      nostrils' outer edges     82, 83      nostrils' lower edges
    84 .. 90    upper edge of the lips, left corner (84) to right corner (90)
    91 .. 95    lower edge of the lips, right to left
    96 .. 100   inner edge of the upper lip, left to right;  101 .. 103 of the lower lip, right to left
    104, 105    pupils, left, right

The contour follows the outline where the face turns away, and the edge of the jaw on the near side.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dynamicid_jax.world import curves
from dynamicid_jax.world.geometry import face_depth, head_outline, nose_points, rotation, seen
from dynamicid_jax.world.identity import EYE_Y, Identity, Looks, looks
from dynamicid_jax.world.motion import Knobs, Motion, cell, knobs
from dynamicid_jax.world.scene import Scene

LANDMARKS = 106
CONTOUR, CHIN = 33, 16
RASTER = 96  # side of the landmark picture that the keypoint encoder reads
_FRONT = np.eye(3, dtype=np.float32)
_HAIRLINE = -0.74  # upper end of a face box, head units
_FIXED = (
    *range(7), *range(26, 33), *range(43, 52), 52, 55, 58, 61, 74, 77, *range(78, 84)
)  # fmt: skip
MOTION_POINTS = tuple(i for i in range(LANDMARKS) if i not in _FIXED)
"""Landmarks that expressions move: brows, lids, pupils, mouth and the lower jaw."""

# Where each landmark goes when a picture is mirrored.
MIRROR = np.array(
    [*range(32, -1, -1), *range(42, 32, -1), 43, 44, 45, 46, *range(51, 46, -1), 61, 60, 59, 58, 63, 62,
     55, 54, 53, 52, 57, 56, *range(71, 63, -1), 75, 76, 77, 72, 73, 74, 79, 78, 81, 80, 83, 82,
     *range(90, 83, -1), *range(95, 90, -1), *range(100, 95, -1), *range(103, 100, -1), 105, 104]
)  # fmt: skip


class Truth(NamedTuple):
    """One picture's ground truth; axis p: its places for people (see `present`)."""

    present: Bool[Array, "*s p"]
    person: Int[Array, "*s p"]
    box: Float[Array, "*s p 4"]  # x0, y0, x1, y1: brow to chin, ear to ear; may pass the edge
    points: Float[Array, "*s p 5 2"]  # eyes, nose tip, mouth corners; picture's left first
    landmarks: Float[Array, "*s p 106 2"]
    pose: Float[Array, "*s p 3"]  # yaw, pitch, roll in degrees (signs: faces/pose.py)
    expression: Int[Array, "*s p"]  # of motion.EXPRESSIONS
    cell: Int[Array, "*s p"]  # of the 7 x 5 studio grid, -1 where the face looks up or down
    shirt: Int[Array, "*s p"]  # of scene.SHIRTS
    background: Int[Array, "*s"]  # of scene.BACKGROUNDS
    heads: Int[Array, "*s"]


def truth(scene: Scene) -> Truth:
    """The ground truth of one scene (leaves without batch axes)."""

    def of_person(
        who: Identity, move: Motion, x: Array, y: Array, scale: Array
    ) -> tuple[Array, Array, Array]:
        look, knob, turn = looks(who), knobs(move), rotation(move)
        marks, points, top = _places(look, knob, move, turn)
        around = jnp.concatenate([marks, top])
        box = jnp.concatenate([around.min(0), around.max(0)])
        origin = jnp.stack([x, y])
        return (
            box * scale + jnp.concatenate([origin, origin]),
            points * scale + origin[None],
            marks * scale + origin[None],
        )

    box, points, marks = jax.vmap(of_person)(scene.who, scene.move, scene.x, scene.y, scene.scale)
    move = scene.move
    return Truth(
        present=scene.present,
        person=scene.who.person,
        box=box,
        points=points,
        landmarks=marks,
        pose=jnp.stack([move.yaw, move.pitch, move.roll], -1),
        expression=move.expression,
        cell=jnp.where(move.facing == 0, cell(move.expression, move.pose), -1),
        shirt=scene.shirt,
        background=scene.background,
        heads=scene.heads,
    )


def _places(
    look: Looks, knob: Knobs, move: Motion, turn: Float[Array, "3 3"]
) -> tuple[Float[Array, "106 2"], Float[Array, "5 2"], Float[Array, "f 2"]]:
    """Landmarks, key points and the forehead's upper edge, in the head's plane."""
    nose = nose_points(look)
    eyes = [_on_face(look, *_eye(look, knob, move, side)) for side in (-1.0, 1.0)]
    brows = [_brow(look, knob, side) for side in (-1.0, 1.0)]
    mouth = _on_face(look, *_mouth(look, knob))
    left, right = eyes
    solid = jnp.concatenate(
        [
            brows[0][:5], brows[1][:5],
            _ridge(look, nose), _under_nose(look, nose),
            left[:6], right[:6],
            brows[0][5:], brows[1][5:],
            left[6:9], right[6:9],
            _nose_sides(look, nose),
            mouth,
            left[9:], right[9:],
        ]
    )  # fmt: skip
    flat = seen(turn, solid)
    marks = jnp.concatenate([_contour(look, knob, turn), flat])
    x = jnp.array([-0.45, -0.2, 0.0, 0.2, 0.45]) * look.width
    top = seen(turn, _on_face(look, x, jnp.full_like(x, _HAIRLINE)))
    eye_points = seen(turn, _on_face(look, look.eye_x * jnp.array([-1.0, 1.0]), jnp.full(2, EYE_Y)))
    points = jnp.concatenate([eye_points, marks[46:47], marks[84:85], marks[90:91]])
    return marks, points, top


def _on_face(look: Looks, x: Array, y: Array) -> Float[Array, "k 3"]:
    return jnp.stack([x, y, face_depth(look, x, y)], -1)


def _eye(look: Looks, knob: Knobs, move: Motion, side: float) -> tuple[Array, Array]:
    """Left to right: 6 of the outline, 3 middles, pupil; the inner corner is at t = -1."""
    lids_at = np.array([-1.0, -0.4, 0.4, 1.0, 0.4, -0.4, 0.0, 0.0, 0.0], np.float32)
    t = jnp.asarray(lids_at * side)
    lid = curves.lids(look, knob, t)
    upper, lower = np.array([0, 1, 1, 0, 0, 0, 1, 0, 0]), np.array([0, 0, 0, 0, 1, 1, 0, 1, 0])
    y = EYE_Y + lid.upper * upper + lid.lower * lower - curves.eye_lift(look, t)
    x = side * (look.eye_x + look.eye_w * t)
    gaze = (move.gaze - 0.5) * 0.4 * look.eye_w
    px, py = side * look.eye_x + gaze, EYE_Y - look.eye_h * (0.12 - 0.34 * knob.look)
    return jnp.append(x, px), jnp.append(y, py)


def _brow(look: Looks, knob: Knobs, side: float) -> Float[Array, "9 3"]:
    """Left to right: 5 of the upper edge, 4 of the lower."""
    t = jnp.array([-1.0, -0.5, 0.0, 0.5, 1.0, -0.9, -0.3, 0.3, 0.9]) * side
    edge = np.array([-1.0] * 5 + [1.0] * 4, np.float32)
    y = curves.brow(look, knob, t, side) + edge * curves.brow_weight(look, t)
    x = side * (look.eye_x - knob.brow_pinch + curves.BROW_REACH * t)
    return _on_face(look, x, y)


def _mouth(look: Looks, knob: Knobs) -> tuple[Array, Array]:
    """84 .. 103: the lips' outer edge clockwise from the left corner, then the inner one."""
    outer = np.array([-1, -0.66, -0.3, 0, 0.3, 0.66, 1, 0.66, 0.3, 0, -0.3, -0.66], np.float32)
    inner = np.array([-0.92, -0.4, 0, 0.4, 0.92, 0.4, 0, -0.4], np.float32)
    t = jnp.asarray(np.concatenate([outer, inner]))
    m = curves.mouth(look, knob, t)
    edges = jnp.stack([m.outer_top, m.outer_bottom, m.inner_top, m.inner_bottom])
    which = np.array([0] * 7 + [1] * 5 + [2] * 5 + [3] * 3)
    y = edges[which, np.arange(20)]
    corner = curves.mouth_middle(knob, t)
    y = jnp.where(jnp.abs(t) > 0.99, corner, y)
    return curves.mouth_width(look, knob) * t, look.mouth_y + y


def _ridge(look: Looks, nose: Float[Array, "4 3"]) -> Float[Array, "4 3"]:
    part = jnp.array([0.0, 0.36, 0.7, 1.0]).reshape(4, 1)
    return nose[0:1] * (1 - part) + nose[1:2] * part


def _under_nose(look: Looks, nose: Float[Array, "4 3"]) -> Float[Array, "5 3"]:
    low = jnp.array([0.0, 1.0, 0.0]) * look.nose_w
    left, tip, right = nose[2] + low * 0.4, nose[1] + low * 0.8, nose[3] + low * 0.4
    return jnp.stack([left, (left + tip) / 2, tip, (right + tip) / 2, right])


def _nose_sides(look: Looks, nose: Float[Array, "4 3"]) -> Float[Array, "6 3"]:
    out = jnp.array([1.0, 0.0, 0.0]) * look.nose_w
    down = jnp.array([0.0, 1.0, 0.0]) * look.nose_w
    high = nose[0] * 0.6 + nose[1] * 0.4
    sides = [high - out * 0.7, high + out * 0.7, nose[2] - out * 0.45, nose[3] + out * 0.45]
    return jnp.stack(
        [
            *sides,
            nose[2] * 0.6 + nose[1] * 0.4 + down * 0.2,
            nose[3] * 0.6 + nose[1] * 0.4 + down * 0.2,
        ]
    )


def _contour(look: Looks, knob: Knobs, turn: Float[Array, "3 3"]) -> Float[Array, "33 2"]:
    """Along the jaw: the outline seen from the front, turned; pulled to the outline where that is nearer."""
    angle = jnp.linspace(-0.06, 1.06, CONTOUR) * jnp.pi
    way = jnp.stack([-jnp.cos(angle), jnp.sin(angle)], -1)
    middle = jnp.array([0.0, 0.12])
    still = knob._replace(open=jnp.zeros_like(knob.open))
    below = ramp01(0.45, 0.85, way[:, 1])  # an open mouth moves the lower jaw only
    shut, gaping = (_reach(look, k, jnp.asarray(_FRONT), middle, way) for k in (still, knob))
    flat = middle[None] + way * (shut + (gaping - shut) * below)[:, None]
    depth = 0.1 * jnp.sin(jnp.clip(angle, 0.0, jnp.pi))
    turned = seen(turn, jnp.concatenate([flat, depth[:, None]], -1))
    centre = seen(turn, jnp.array([[0.0, 0.12, 0.25]]))
    ray = turned - centre
    length = jnp.sqrt((ray * ray).sum(-1))
    unit = ray / length[:, None]
    limit_shut, limit = (_reach(look, k, turn, centre[0], unit) for k in (still, knob))
    limit = limit_shut + (limit - limit_shut) * below
    side = -jnp.cos(angle)
    pull = jnp.maximum(ramp01(0.0, 0.3, side * turn[0, 2]), ramp01(0.75, 0.3, jnp.abs(side)))
    inside = jnp.minimum(length, limit)
    return centre + unit * (inside + (limit - inside) * pull)[:, None]


def ramp01(low: float, high: float, x: Array) -> Array:
    """A straight step from 0 at `low` to 1 at `high`."""
    return jnp.clip((x - low) / (high - low), 0.0, 1.0)


def _reach(
    look: Looks,
    knob: Knobs,
    turn: Float[Array, "3 3"],
    start: Float[Array, "2"],
    way: Float[Array, "k 2"],
) -> Float[Array, "k"]:
    """How far from `start` along each way the head's outline is, by halving."""

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) * 0.5
        at = start[None] + way * middle[:, None]
        inside = head_outline(at[:, 0], at[:, 1], turn, look, knob) < 0
        return jnp.where(inside, middle, low), jnp.where(inside, high, middle)

    low = jnp.zeros(way.shape[0])
    low, high = jax.lax.fori_loop(0, 14, halve, (low, low + 2.0))
    return (low + high) * 0.5


def through_view(found: Truth, view: Float[Array, "2 3"]) -> Truth:
    """The truth of a picture rendered through a view (see render.py)."""
    a, shift = view[:, :2], view[:, 2]
    det = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    inverse = jnp.stack([jnp.stack([a[1, 1], -a[0, 1]]), jnp.stack([-a[1, 0], a[0, 0]])]) / det

    def move(places: Array) -> Array:
        off = places - shift.reshape((1,) * (places.ndim - 1) + (2,))
        return (off[..., None, :] * inverse.reshape((1,) * (places.ndim - 1) + (2, 2))).sum(-1)

    box = found.box
    corners = jnp.stack([box[:, [0, 1]], box[:, [2, 1]], box[:, [0, 3]], box[:, [2, 3]]], 1)
    corners = move(corners)
    return found._replace(
        box=jnp.concatenate([corners.min(1), corners.max(1)], -1),
        points=move(found.points),
        landmarks=move(found.landmarks),
    )


def raster(landmarks: Float[Array, "106 2"]) -> Int[Array, "96 96"]:
    """The landmark picture of faces.landmarks.raster on the device: +1 on -1, rows and columns."""
    at = landmarks * RASTER
    inside = ((at > 0) & (at < RASTER)).all(-1)
    cells = jnp.where(inside[:, None], at, RASTER).astype(jnp.int32)
    picture = jnp.full((RASTER, RASTER), -1, jnp.int8)
    return picture.at[cells[:, 1], cells[:, 0]].set(1, mode="drop")
