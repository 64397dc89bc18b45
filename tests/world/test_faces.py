"""Faces as the pack's readers cut them: the drawn crops against crops cut by OpenCV from a drawn picture."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.faces.align import arcface_points, similarity
from dynamicid_jax.world import faces
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.truth import truth

BIG, SMALL = 192, 48


@pytest.fixture(scope="module")
def drawn():
    """Four portraits, large, with all crops, cut without errors."""
    source = Source("world/portraits", "eval", people=50)
    plain = pytest.MonkeyPatch()
    plain.setattr(faces, "_POINT_ERROR", 0.0)
    plain.setattr(faces, "_BOX_ERROR", 0.0)

    @jax.jit
    def make(index):
        scenes = source.scenes(index)
        found = jax.vmap(truth)(scenes)
        return {
            "truth": found,
            "picture": to_bytes(render_many(scenes, BIG)),
            **faces.aligned(scenes, found, SMALL),
            **faces.framed(scenes, found, SMALL),
        }

    made = jax.tree.map(np.asarray, make(jnp.arange(4)))
    plain.undo()
    return made


def _shifted(one, other):
    """Mean difference in grey levels over the middle, by the number of pixels that `other` is moved right and down.

    The middle only: borders show what lies outside the large picture.
    """
    middle = slice(SMALL // 4, -SMALL // 4)
    return {
        (x, y): np.abs(one.astype(float) - np.roll(other, (y, x), (0, 1)))[middle, middle].mean()
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
    }


def _fits(one, other):
    differences = _shifted(one, other)
    return min(differences, key=differences.get) == (0, 0) and differences[0, 0] < 10


def test_aligned_faces_are_those_that_recognisers_are_given(drawn):
    for i, picture in enumerate(drawn["picture"]):
        # Whole numbers are middles of pixels for OpenCV, and half numbers for the world.
        place = similarity(drawn["truth"].points[i, 0] * BIG - 0.5, arcface_points(112))
        place[:, 2] -= 0.5
        cut = cv2.warpAffine(picture, place, (112, 112))
        assert _fits(
            drawn["aligned"][i], cv2.resize(cut, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        )


def test_frames_are_one_and_a_half_times_the_box_with_their_landmarks(drawn):
    found = drawn["truth"]
    for i, picture in enumerate(drawn["picture"]):
        box = found.box[i, 0] * BIG
        side = 1.5 * (box[2:] - box[:2]).max()
        corner = (box[:2] + box[2:]) / 2 - side / 2
        place = np.array([[112 / side, 0, 0], [0, 112 / side, 0]])
        place[:, 2] = (0.5 - corner) * 112 / side - 0.5
        cut = cv2.warpAffine(picture, place, (112, 112))
        assert _fits(
            drawn["framed"][i], cv2.resize(cut, (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        )
        marks = drawn["framed_marks"][i] * side + corner
        np.testing.assert_allclose(marks, found.landmarks[i, 0] * BIG, atol=0.01)


def test_windows_move_boxes_and_points_together():
    source = Source("world/scenes", "eval", people=50)

    @jax.jit
    def make(index):
        scenes = source.scenes(index)
        found = jax.vmap(truth)(scenes)
        wide = faces.wide(scenes, found, 16)
        return found, {name: wide[name] for name in faces.FACE_TRUTH["wide"]}  # nothing is drawn

    found, wide = jax.tree.map(np.asarray, make(jnp.arange(64)))
    here = found.present
    assert (wide["wide_boxes"][~here] == 0).all()
    scale = [np.ptp(x, -1).mean(-1) for x in (found.box.reshape(64, 3, 2, 2).swapaxes(-1, -2),)]
    zoom = scale[0] / np.maximum(
        np.ptp(wide["wide_boxes"].reshape(64, 3, 2, 2).swapaxes(-1, -2), -1).mean(-1), 1e-9
    )
    zoom = np.where(here, zoom, np.nan)
    assert 0.84 < np.nanmin(zoom) < 1.0
    assert 1.6 < np.nanmax(zoom) < 1.91
    assert np.nanmax(np.nanmax(zoom, 1) - np.nanmin(zoom, 1)) < 1e-3  # one window per picture
    # A point keeps its place within its box, whatever the window.
    low, high = found.box[:, :, None, :2], found.box[:, :, None, 2:]
    wide_low, wide_high = wide["wide_boxes"][:, :, None, :2], wide["wide_boxes"][:, :, None, 2:]
    before = ((found.points - low) / (high - low))[here]
    after = ((wide["wide_points"] - wide_low) / np.maximum(wide_high - wide_low, 1e-9))[here]
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_turns_are_poses_then_up_and_down():
    source = Source("world/portraits", "eval", people=50)
    move = jax.jit(lambda index: source.scenes(index).move)(jnp.arange(300))
    turns = np.asarray(faces.turn(move))[:, 0]
    facing, pose = np.asarray(move.facing)[:, 0], np.asarray(move.pose)[:, 0]
    assert (turns[facing == 0] == pose[facing == 0]).all()
    assert set(turns[facing == 1]) == {5}
    assert set(turns[facing == 2]) == {6}
