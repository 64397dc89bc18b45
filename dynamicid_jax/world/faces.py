"""What the face networks train on: faces as the pack's readers will cut them, with their truth.

    wide       a whole picture through a random window, boxes and five points      the detector
    aligned    a face brought to ArcFace's places by points that are a little off  recognisers
    framed     a square of 1.5 times a face box that is a little off, 106 points   landmarks, the judge of motions

and two that the whole model is conditioned on:

    aligned_exactly    by the true points                                  identities
    reference_crop     a square of twice the face box, and its raster      the image encoder, the keypoint encoder

Detectors place boxes and points with errors, so crops are cut with errors. All of it follows from the picture's
seed. What lies outside the picture is black in a face network's crop and repeats the edge in a reference crop, as
where readers cut them. Crops are drawn small; networks enlarge them (training/face_losses.py), since most faces are
enlarged in use, too.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from dynamicid_jax.world.factors import lerp, unit
from dynamicid_jax.world.motion import POSES, Motion
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.scene import Scene
from dynamicid_jax.world.truth import Truth, raster, through_view
from dynamicid_jax.world.views import aligned_view, box_view

FRAME = 1.5  # times the box, as insightface frames a face for its landmark networks
_POINT_ERROR = 0.05  # of the eyes' distance: half the range of a point's error
_BOX_ERROR = 0.06  # of the box's longer side, likewise

Views = Float[Array, "b 2 3"]
Fields = dict[str, Array]


def turn(move: Motion) -> Int[Array, "*s"]:
    """0 to 4: the studio grid's poses; 5 up, 6 down."""
    return jnp.where(move.facing > 0, len(POSES) - 1 + move.facing, move.pose)


def wide(scenes: Scene, found: Truth, size: int) -> Fields:
    """Pictures through windows of 0.85 to 1.9 times their side.

    Returns:
        wide uint8 [b s s 3], wide_boxes [b p 4] and wide_points [b p 5 2] in fractions of it; zeros where nobody is.
    """
    seed = scenes.seed
    zoom = lerp(0.85, 1.9, unit(seed, "zoom") ** 2)
    room = jnp.abs(zoom - 1.0)
    corner = [(1.0 - zoom) * 0.5 + room * (unit(seed, name) - 0.5) for name in ("pan", "tilt")]
    views = jnp.stack(
        [
            jnp.stack([zoom, 0 * zoom, corner[0]], -1),
            jnp.stack([0 * zoom, zoom, corner[1]], -1),
        ],
        1,
    )
    origin = jnp.stack(corner, -1)[:, None]
    boxes = (found.box - jnp.tile(origin, (1, 1, 2))) / zoom[:, None, None]
    points = (found.points - origin[:, None]) / zoom[:, None, None, None]
    here = found.present
    return {
        "wide": to_bytes(render_many(scenes, size, views)),
        "wide_boxes": jnp.where(here[..., None], boxes, 0.0),
        "wide_points": jnp.where(here[..., None, None], points, 0.0),
    }


def aligned(scenes: Scene, found: Truth, size: int) -> Fields:
    """The first person's face as recognisers see it: aligned uint8 [b s s 3]."""
    points = found.points[:, 0]
    apart = _eyes_apart(found)[:, None, None]
    errors = _errors(scenes.seed, "point", 10).reshape(-1, 5, 2) * _POINT_ERROR
    views = jax.vmap(aligned_view)(points + errors * apart)
    return {"aligned": _cut(scenes, size, views)}


def aligned_exactly(scenes: Scene, found: Truth, size: int) -> UInt8[Array, "b s s 3"]:
    """The same by the true points, as a photograph's face is cut for its identity."""
    return _cut(scenes, size, jax.vmap(aligned_view)(found.points[:, 0]))


def reference_crop(scenes: Scene, found: Truth, size: int) -> UInt8[Array, "b s s 3"]:
    """METHOD's reference crop of the first person (section 2), as faces.reference cuts it."""
    views = jax.vmap(box_view)(found.box[:, 0])
    drawn = to_bytes(render_many(scenes, size, views))
    # Pixels of the crop that lie in the picture: beyond them the last one is repeated.
    corner, side = views[:, :, 2], views[:, :1, 0]
    first = jnp.ceil(-corner / side * size - 0.5).astype(jnp.int32)
    last = jnp.floor((1.0 - corner) / side * size - 0.5).astype(jnp.int32)
    columns, rows = (
        jnp.clip(jnp.arange(size)[None], first[:, axis, None], last[:, axis, None])
        for axis in (0, 1)
    )
    taken = jnp.take_along_axis(drawn, rows[:, :, None, None], 1)
    return jnp.take_along_axis(taken, columns[:, None, :, None], 2)


def reference_raster(found: Truth) -> Int[Array, "b 96 96"]:
    """The first person's landmarks in the frame of their reference crop, +1 on -1."""

    def one(truth: Truth) -> Array:
        return raster(through_view(truth, box_view(truth.box[0])).landmarks[0])

    return jax.vmap(one)(found)


def framed(scenes: Scene, found: Truth, size: int) -> Fields:
    """The first person's face in a square around its box.

    Returns:
        framed uint8 [b s s 3], framed_marks [b 106 2] in fractions of it, eyes_apart [b] likewise, expression [b]
        and turn [b].
    """
    box = found.box[:, 0]
    side = jnp.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])[:, None]
    views = jax.vmap(lambda one: box_view(one, FRAME))(
        box + _errors(scenes.seed, "box", 4) * _BOX_ERROR * side
    )
    scale, corner = views[:, 0, 0], views[:, :, 2]
    marks = (found.landmarks[:, 0] - corner[:, None]) / scale[:, None, None]
    return {
        "framed": _cut(scenes, size, views),
        "framed_marks": marks,
        "eyes_apart": _eyes_apart(found) / scale,
        "expression": found.expression[:, 0],
        "turn": turn(scenes.move)[:, 0],
    }


def _cut(scenes: Scene, size: int, views: Views) -> UInt8[Array, "b s s 3"]:
    """Crops of the picture: black beyond its edges."""
    middles = (jnp.arange(size) + 0.5) / size
    grid = jnp.stack([*jnp.meshgrid(middles, middles), jnp.ones((size, size))], -1)
    place = jnp.einsum("bij,yxj->byxi", views, grid)
    within = ((place >= 0) & (place <= 1)).all(-1, keepdims=True)
    return to_bytes(render_many(scenes, size, views)) * within.astype(jnp.uint8)


def _eyes_apart(found: Truth) -> Float[Array, " b"]:
    """Between the eyes of the first person, in the picture."""
    eyes = found.points[:, 0, :2]
    return jnp.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=-1)


def _errors(seed: Int[Array, " b"], name: str, count: int) -> Float[Array, "b count"]:
    """Numbers in [-1, 1), mostly small: the sum of two even draws."""
    drawn = [
        unit(seed, f"{name}-{i}") + unit(seed, f"{name}-{i}-again") - 1.0 for i in range(count)
    ]
    return jnp.stack(drawn, -1)


FACE_FIELDS: dict[str, Callable[[Scene, Truth, int], Fields]] = {
    "wide": wide,
    "aligned": aligned,
    "framed": framed,
}
"""By the picture's field; each brings its truth along."""
FACE_TRUTH = {
    "wide": ("wide_boxes", "wide_points"),
    "aligned": (),
    "framed": ("framed_marks", "eyes_apart", "expression", "turn"),
}
