"""Which face is taken, and what becomes of it by a model's conventions."""

from typing import Any

import fake_face_pack as fake_pack
import numpy as np
import pytest
from fake_face_pack import LARGE, photo
from PIL import Image

from dynamicid_jax.errors import FaceError, InputError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.faces.reference import (
    average_embeddings,
    choose,
    crop_repeating_edges,
    examine,
    make_reference,
    square_around,
)

PUBLISHED: dict[str, Any] = {"id_channels": "rgb", "reference_crop": "none"}
OURS: dict[str, Any] = {"id_channels": "bgr", "reference_crop": "face x 2"}
GROUP = photo(("small", 5, 20), ("large", 5, 14), ("large", 15, 4))


def faces(*boxes):
    points = np.zeros((5, 2), np.float32)
    return [Detection(np.array(box, np.float32), points, 0.9) for box in boxes]


def pick(which, *boxes):
    return choose(faces(*boxes), which, width=200, height=100)


def test_the_largest_face_is_taken_unless_one_is_asked_for():
    boxes = (0, 0, 20, 20), (50, 0, 90, 30), (100, 0, 130, 35)
    assert pick(None, *boxes) == 1
    assert [pick(number, *boxes) for number in range(3)] == [0, 1, 2]
    assert pick((0.6, 0.1), *boxes) == 2
    assert pick((0.24, 0.0, 0.5, 0.9), *boxes) == 1


def test_a_point_in_two_faces_takes_the_one_it_is_nearer_to():
    boxes = (0, 0, 100, 100), (60, 20, 120, 80)
    assert pick((0.44, 0.5), *boxes) == 1
    assert pick((0.31, 0.5), *boxes) == 0


def test_a_box_takes_the_face_it_fits_best():
    boxes = (0, 0, 100, 100), (20, 20, 60, 60)
    assert pick((0.1, 0.2, 0.3, 0.6), *boxes) == 1
    assert pick((0.0, 0.0, 0.5, 0.9), *boxes) == 0


def test_a_face_that_is_not_there():
    boxes = (0, 0, 20, 20), (50, 0, 90, 30)
    for which in (2, -1):
        with pytest.raises(FaceError, match=f"face {which} was asked for; 2 found, counted from 0"):
            pick(which, *boxes)
    for place in ((0.9, 0.9), (0.6, 0.5, 0.9, 0.9)):
        with pytest.raises(FaceError, match=r"no face at .*; 2 found elsewhere"):
            pick(place, *boxes)
    with pytest.raises(InputError, match="expected a number, a point"):
        pick((0.1, float("nan")), *boxes)


def test_a_square_of_twice_the_longer_side():
    assert square_around(np.array([10, 20, 50, 80], np.float32), 2.0) == (-30, -10, 90, 110)
    x0, y0, x1, y1 = square_around(np.array([5, 5, 5, 5], np.float32), 2.0)
    assert (x1 - x0, y1 - y0) == (1, 1)  # never empty


def test_beyond_the_photo_its_edge_is_repeated():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    crop = crop_repeating_edges(pixels, (-2, -1, 6, 9))
    expected = np.pad(pixels[:, :6], ((1, 3), (2, 0), (0, 0)), mode="edge")
    np.testing.assert_array_equal(crop, expected)
    inside = crop_repeating_edges(pixels, (1, 2, 4, 5))
    np.testing.assert_array_equal(inside, pixels[2:5, 1:4])


def test_published_conventions_keep_the_photo_and_swap_the_recognisers_channels(fake):
    pixels = np.maximum(photo(("large", 10, 10)), np.array([[[90, 60, 20]]], np.uint8))
    published = make_reference(pixels, fake, **PUBLISHED)
    ours = make_reference(pixels, fake, **OURS)
    np.testing.assert_array_equal(published.crop, pixels)
    assert published.origin == (0, 0)
    np.testing.assert_allclose(published.embedding[:3], ours.embedding[2::-1], atol=1e-6)
    assert abs(published.embedding[0] - ours.embedding[0]) > 0.1


def test_our_conventions_cut_a_square_of_twice_the_face(fake):
    pixels = photo(("large", 4, 10))
    reference = make_reference(pixels, fake, **OURS)
    side = int(4 * LARGE)
    assert reference.crop.shape == (side, side, 3)
    assert reference.origin == (128 - side // 2, 320 - side // 2)
    red = np.argwhere(reference.crop[..., 0] == 255)
    np.testing.assert_array_equal(red.min(0), [side // 2, side // 2])
    np.testing.assert_array_equal(red.max(0), [side // 2 + 31, side // 2 + 31])


def test_landmarks_are_given_in_pixels_of_the_crop(tmp_path):
    folder = fake_pack.write_pack(tmp_path)
    fake_pack.write_landmarks(folder / "2d106.onnx", np.zeros((106, 2)))  # all in the face's middle
    pack = FacePack.load(folder)
    reference = make_reference(photo(("large", 4, 10)), pack, **OURS)
    np.testing.assert_allclose(reference.landmarks(), np.full((106, 2), 2 * LARGE), atol=1e-2)
    np.testing.assert_allclose(reference.landmarks(5).mean(0), [128, 128 + 0.1 * 64], atol=1e-3)
    whole = make_reference(photo(("large", 4, 10)), pack, **PUBLISHED)
    np.testing.assert_allclose(whole.landmarks(106), np.tile([128, 320], (106, 1)), atol=1e-2)


def test_paths_pil_images_and_arrays_give_the_same(fake, tmp_path):
    pixels = photo(("large", 10, 10))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    references = [
        make_reference(value, fake, **OURS)
        for value in (path, str(path), Image.fromarray(pixels), pixels)
    ]
    for one in references:
        np.testing.assert_array_equal(one.crop, references[0].crop)
        np.testing.assert_array_equal(one.embedding, references[0].embedding)
    assert references[0].verdict.photo == references[1].verdict.photo == str(path)
    assert references[3].verdict.photo == "photo"
    assert make_reference(pixels, fake, name="pose", **OURS).verdict.photo == "pose"


def test_photos_that_cannot_be_used_stop_with_one_line(fake, tmp_path):
    with pytest.raises(FaceError, match=r"^photo: no face found; use a photo that shows"):
        make_reference(np.zeros((100, 100, 3), np.uint8), fake, **OURS)
    with pytest.raises(FaceError, match=r"^photo: face 3 was asked for; 3 found"):
        make_reference(GROUP, fake, which=3, **OURS)
    with pytest.raises(InputError, match="no such file"):
        make_reference(tmp_path / "absent.png", fake, **OURS)


def test_several_faces_are_said_with_which_was_taken(fake):
    verdict = examine(GROUP, fake)
    assert (verdict.faces, verdict.taken) == (3, 1)
    assert verdict.usable
    assert verdict.findings[0].reason == "several faces"
    assert verdict.lines()[0] == (
        "photo: 3 faces; took the largest, number 1 from the left (counted from 0)"
    )
    asked = examine(GROUP, fake, which=0, name="a.png")
    assert asked.taken == 0
    assert asked.lines()[0].startswith("a.png: 3 faces; took the one asked for, number 0")
    assert asked.record is not None
    np.testing.assert_allclose(asked.record.box[:2], [80 - 24, 320 - 24])


def test_hard_findings_have_no_record(fake):
    for verdict, reason in (
        (examine(np.zeros((100, 100, 3), np.uint8), fake), "no face"),
        (examine(GROUP, fake, which=7), "no such face"),
    ):
        assert [finding.reason for finding in verdict.findings] == [reason]
        assert not verdict.usable
        assert verdict.word == "not usable"
        assert verdict.record is None


def test_embeddings_of_several_photos_are_averaged_and_normalised():
    one, other = np.eye(4, dtype=np.float32)[:2]
    mean = average_embeddings([one, one, other])
    np.testing.assert_allclose(mean, np.array([2, 1, 0, 0]) / np.sqrt(5), rtol=1e-6)
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(average_embeddings([one]), one)
    for nothing in ([], [one, -one]):
        with pytest.raises(InputError, match="without a common direction"):
            average_embeddings(nothing)
