"""Pose from five points: exact on its own head model, right in sign and order on others."""

import numpy as np
import pytest

from dynamicid_jax.errors import FaceError
from dynamicid_jax.faces.pose import HEAD_POINTS, pose_from_points


def project(head, yaw=0.0, pitch=0.0, roll=0.0, scale=2.0, shift=(300.0, 200.0), distance=None):
    """Five pixels of a turned head: scaled orthography, or a camera at `distance` mm."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    x, y, z = head.T
    y, z = cp * y - sp * z, sp * y + cp * z  # about x, then y, then z
    x, z = cy * x + sy * z, -sy * x + cy * z
    x, y = cr * x - sr * y, sr * x + cr * y
    nearness = 1.0 if distance is None else distance / (distance - z)
    points = np.stack([x * nearness, y * nearness], axis=1) * scale + np.array([shift])
    return points.astype(np.float32)


@pytest.mark.parametrize("yaw", [-60, -25, 0, 40])
@pytest.mark.parametrize("pitch", [-30, 0, 20])
@pytest.mark.parametrize("roll", [-45, 0, 15, 90])
def test_exact_on_its_own_model_at_any_place_and_size(yaw, pitch, roll):
    for scale, shift in ((0.2, (0, 0)), (3, (-500, 900))):
        pose = pose_from_points(project(HEAD_POINTS, yaw, pitch, roll, scale, shift))
        np.testing.assert_allclose([pose.yaw, pose.pitch, pose.roll], [yaw, pitch, roll], atol=0.02)
        assert pose.source == "estimated from 5 points"


def test_signs_are_those_documented():
    """Said in pixels, without the projection above: where the nose moves, which eye is lower."""
    frontal = np.array([[-35, 0], [35, 0], [0, 37], [-28, 73], [28, 73]], np.float32)
    nose_right, nose_up, leaning = frontal.copy(), frontal.copy(), frontal.copy()
    nose_right[2, 0] += 15
    nose_up[2, 1] -= 15
    leaning[[1, 4], 1] += 10
    leaning[[0, 3], 1] -= 10
    assert pose_from_points(nose_right).yaw > 10
    assert pose_from_points(nose_up).pitch > 10
    assert pose_from_points(leaning).roll > 10
    still = pose_from_points(frontal)
    np.testing.assert_allclose([still.yaw, still.pitch, still.roll], 0, atol=4)


@pytest.mark.parametrize("seed", range(5))
def test_monotonic_and_of_the_right_sign_for_other_heads_and_near_cameras(seed):
    """Other people's proportions (within 8 %), a camera 50 cm away, half a pixel of noise."""
    random = np.random.default_rng(seed)
    head = HEAD_POINTS * random.uniform(0.92, 1.08, (1, 3))
    head[2] *= random.uniform(0.92, 1.08, 3)
    angles = np.arange(-50, 51, 10.0)

    def estimates(axis, **others):
        seen = [project(head, **{axis: angle}, **others, distance=500.0) for angle in angles]
        noise = random.normal(0, 0.5, (len(seen), 5, 2)).astype(np.float32)
        return np.array([getattr(pose_from_points(p + n), axis) for p, n in zip(seen, noise)])  # noqa: B905

    for axis, others in (
        ("yaw", {"pitch": 8.0}),
        ("pitch", {"yaw": -12.0}),
        ("roll", {"yaw": 9.0}),
    ):
        found = estimates(axis, **others)
        assert (np.diff(found) > 0).all(), (axis, found)
        turned = np.abs(angles) >= 20
        assert (np.sign(found[turned]) == np.sign(angles[turned])).all(), (axis, found)
        assert np.abs(found - angles).max() < 20, (axis, found)


def test_mirroring_turns_yaw_and_roll_around():
    points = project(HEAD_POINTS, 25, -12, 8)
    mirrored = points[[1, 0, 2, 4, 3]] * np.array([[-1, 1]], np.float32)
    one, other = pose_from_points(points), pose_from_points(mirrored)
    np.testing.assert_allclose(
        [other.yaw, other.pitch, other.roll], [-one.yaw, one.pitch, -one.roll], atol=1e-3
    )


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((5, 2)),
        np.outer(np.arange(5), [1, 2]),
        np.full((5, 2), np.nan),
        np.full((5, 2), 1e6),
    ],
)
def test_points_that_show_no_face(points):
    with pytest.raises(FaceError, match="five points of a face"):
        pose_from_points(points.astype(np.float32))
