"""The similarity behind an aligned face, against its definition and against insightface's own."""

import warnings

import numpy as np
import pytest

from dynamicid_jax.faces.align import aligned_face, arcface_points, similarity


def test_a_similarity_is_recovered_exactly():
    source = np.random.default_rng(0).normal(size=(5, 2))
    c, s = 1.7 * np.cos(0.4), 1.7 * np.sin(0.4)
    matrix = np.array([[c, -s, 30.0], [s, c, -8.0]])
    target = source @ matrix[:, :2].T + matrix[None, :, 2]
    np.testing.assert_allclose(similarity(source, target), matrix, atol=1e-12)


def test_nothing_near_it_is_closer():
    random = np.random.default_rng(1)
    source, target = random.normal(size=(2, 5, 2))

    def error(matrix):
        return ((source @ matrix[:, :2].T + matrix[None, :, 2] - target) ** 2).sum()

    best = similarity(source, target)
    np.testing.assert_allclose(best[0, 0], best[1, 1])
    np.testing.assert_allclose(best[0, 1], -best[1, 0])
    for _ in range(50):
        a, b, x, y = random.normal(0, 0.05, 4)
        nudge = np.array([[a, -b, x], [b, a, y]])
        assert error(best + nudge) > error(best)


@pytest.mark.parametrize("size", [112, 224, 128, 256])
def test_the_same_picture_as_insightface_makes(size):
    from insightface.utils.face_align import norm_crop

    random = np.random.default_rng(2)
    photo = random.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    points = (arcface_points(112) * 1.3 + random.normal(40, 3, (5, 2))).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-image, in insightface
        theirs = norm_crop(photo, points, image_size=size)
    difference = np.abs(aligned_face(photo, points, size).astype(int) - theirs)
    assert difference.max() <= 8
    assert difference.mean() < 0.1


def test_channels_keep_their_order_and_outside_is_black():
    photo = np.full((60, 60, 3), (200, 100, 50), np.uint8)
    points = (arcface_points(112) / 2 + 30).astype(np.float32)  # half of the face is outside
    face = aligned_face(photo, points)
    assert face.shape == (112, 112, 3)
    assert face[5, 5].tolist() == [200, 100, 50]
    assert face[-5, -5].tolist() == [0, 0, 0]
