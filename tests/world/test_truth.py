"""Ground truth, checked by geometry."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.faces.landmarks import raster as host_raster
from dynamicid_jax.faces.pose import pose_from_points
from dynamicid_jax.world import truth as ground
from dynamicid_jax.world.motion import EXPRESSIONS, PITCHES, YAWS
from dynamicid_jax.world.views import aligned_view, box_view

FRONT, NEUTRAL = 2, EXPRESSIONS.index("neutral")


def _cell(expression: int, pose: int) -> int:
    return 5 * expression + pose


def test_landmarks_and_points_lie_in_the_box(cells: Any, batch: dict[str, Any]) -> None:
    for found in (cells, batch["truth"]):
        low, high = found.box[..., None, :2] - 1e-6, found.box[..., None, 2:] + 1e-6
        for places in (found.landmarks, found.points):
            assert ((places >= low) & (places <= high)).all()


def test_faces_are_large(cells: Any, batch: dict[str, Any]) -> None:
    front = cells.box[:, [_cell(NEUTRAL, FRONT)], 0]
    assert (front[..., 2] - front[..., 0]).min() > 0.5
    found = batch["truth"]
    wide = found.box[..., 2] - found.box[..., 0]
    # Turned faces are narrower, and someone alone may stand as far off as one of three.
    for count, least in ((1, 0.2), (2, 0.3), (3, 0.2)):
        rows = found.heads == count
        assert rows.any()
        assert wide[rows][found.present[rows]].min() > least


def test_people_stand_from_left_to_right(batch: dict[str, Any]) -> None:
    found = batch["truth"]
    x = found.points[..., 0].mean(-1)
    both = found.present[:, 1:] & found.present[:, :-1]
    assert (np.diff(x, axis=1)[both] > 0.1).all()


def test_only_motion_points_move_with_the_expression(cells: Any) -> None:
    fixed = [i for i in range(ground.LANDMARKS) if i not in ground.MOTION_POINTS]
    for pose in range(5):
        rows = [_cell(e, pose) for e in range(len(EXPRESSIONS))]
        spread = np.ptp(cells.landmarks[:, rows, 0], axis=1)
        np.testing.assert_allclose(spread[:, fixed], 0, atol=2e-3)
        assert (spread[:, ground.MOTION_POINTS].max(-1) > 3e-4).mean() > 0.9


def test_expressions_are_well_apart(cells: Any) -> None:
    """Every pair differs by a good part of the eye distance somewhere in brows, lids or mouth."""
    marks = cells.landmarks[:, [_cell(e, FRONT) for e in range(len(EXPRESSIONS))], 0]
    eyes = cells.points[:, _cell(NEUTRAL, FRONT), 0]
    distance = np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=-1)
    for a in range(len(EXPRESSIONS)):
        for b in range(a):
            moved = np.linalg.norm(marks[:, a] - marks[:, b], axis=-1).max(-1)
            assert (moved > 0.12 * distance).all(), (EXPRESSIONS[a], EXPRESSIONS[b])


def test_the_nose_follows_the_yaw_more_than_the_eyes(cells: Any) -> None:
    rows = [_cell(NEUTRAL, pose) for pose in range(5)]
    points = cells.points[:, rows][:, :, 0, :, 0]
    nose, eyes = points[..., 2], points[..., :2].mean(-1)
    assert (np.diff(nose, axis=1) > 0).all()
    assert (np.diff(nose - eyes, axis=1) > 0).all()
    up, down = (cells.points[:, 35 + i][:, 0, :, 1] for i in (0, 1))
    assert (up[:, 2] - up[:, :2].mean(-1) < down[:, 2] - down[:, :2].mean(-1)).all()


def test_signs_and_sizes_of_the_pose_agree_with_the_estimate(cells: Any) -> None:
    """faces/pose.py knows another head, so it agrees roughly; signs must be the same."""
    for person in range(cells.points.shape[0]):
        for pose, yaw in enumerate(YAWS):
            told = pose_from_points(cells.points[person, _cell(NEUTRAL, pose), 0] * 512)
            assert abs(told.yaw - yaw) < 16
        for i, pitch in enumerate(PITCHES[1:]):
            front = pose_from_points(cells.points[person, _cell(NEUTRAL, FRONT), 0] * 512)
            told = pose_from_points(cells.points[person, 35 + i, 0] * 512)
            assert np.sign(told.pitch - front.pitch) == np.sign(pitch)


def test_mirrored_factors_mirror_the_landmarks(batch: dict[str, Any]) -> None:
    scenes = jax.tree.map(jnp.asarray, batch["scene"])
    move, who = scenes.move, scenes.who
    happy = jnp.zeros_like(move.expression)  # disgust is lopsided on purpose
    move = move._replace(expression=happy)
    turned = move._replace(yaw=-move.yaw, roll=-move.roll, gaze=1.0 - move.gaze)
    find = jax.jit(jax.vmap(ground.truth))
    plain = find(scenes._replace(move=move, who=who))
    mirror = find(scenes._replace(move=turned, x=1.0 - scenes.x))
    expected = np.asarray(plain.landmarks) * [-1, 1] + [1, 0]
    np.testing.assert_allclose(mirror.landmarks, expected[:, :, ground.MIRROR], atol=1e-4)


def test_raster_is_that_of_the_host(batch: dict[str, Any]) -> None:
    for marks, drawn in zip(batch["truth"].landmarks[:, 0], batch["raster"], strict=True):
        assert np.array_equal(drawn, host_raster(marks * 64, height=64, width=64))


def test_views_bring_faces_to_their_places(batch: dict[str, Any]) -> None:
    found = jax.tree.map(jnp.asarray, batch["truth"])
    one = jax.tree.map(lambda leaf: leaf[0], found)
    seen = ground.through_view(one, aligned_view(one.points[0]))
    expected = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])
    assert abs(np.asarray(seen.points[0]) * 112 - expected).mean() < 8
    box = np.asarray(ground.through_view(one, box_view(one.box[0])).box[0])
    assert np.isclose((box[2:] - box[:2]).max(), 0.5, atol=1e-5)
    np.testing.assert_allclose(box[:2] + box[2:], 1, atol=1e-5)
