"""Judges: files with hashes and contracts, read by arithmetic networks whose answers are known."""

import hashlib
import json
from dataclasses import replace

import fake_face_pack as fake
import fake_judges
import fake_people
import numpy as np
import pytest

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.evaluation.casts import photographed
from dynamicid_jax.evaluation.ceilings import on_photos, verification
from dynamicid_jax.evaluation.face_pack import open_pack
from dynamicid_jax.evaluation.judge_files import JudgeFile, JudgeSet, PlainFile, check_judges
from dynamicid_jax.evaluation.judges import Judges, pose_of_yaw
from dynamicid_jax.evaluation.report import plain
from dynamicid_jax.evaluation.suite import judges_named
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.packaged import mini_folder
from dynamicid_jax.world.motion import EXPRESSIONS, POSES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    fake.write_pack(folder / "pack")
    fake.write_recogniser(folder / "who.onnx")
    fake_judges.write_judge(folder / "motion.onnx", outputs=7)
    fake_judges.write_judge(folder / "pose.onnx")
    return folder


MOTION = JudgeFile("motion.onnx", "", (3, 64, 64), 7, classes=("angry", "fear", *EXPRESSIONS[:5]))
JUDGES = JudgeSet(
    detector=PlainFile("pack/detector.onnx", ""),
    recogniser=JudgeFile("who.onnx", "", (3, 112, 112), 512, crop="aligned"),
    expression=MOTION,
    pose=JudgeFile("pose.onnx", "", (3, 64, 64), 3, std=1.0, mean=0.0, degrees=(-1, 1, 1)),
)
POINTS = np.array([[20.0, 25], [40, 25], [30, 35], [22, 45], [38, 45]], np.float32)
FACE = Detection(np.array([10, 10, 40, 40], np.float32), POINTS, 0.9)


def picture(*colour):
    return np.full((64, 64, 3), colour, np.uint8)


def test_answers_are_read_as_the_contract_says(folder):
    judges = Judges(JUDGES, folder)
    assert judges.motion(picture(0, 200, 0), FACE) == (EXPRESSIONS.index("fear"), 2)
    assert judges.motion(picture(200, 0, 0), FACE) == (
        EXPRESSIONS.index("anger"),
        0,
    )  # -200 degrees
    swapped = replace(JUDGES, expression=replace(MOTION, colour="bgr"))
    assert Judges(swapped, folder).motion(picture(200, 0, 0), FACE)[0] == EXPRESSIONS.index("happy")
    assert np.linalg.norm(judges.embedding(picture(9, 99, 200), FACE)) == pytest.approx(1)
    assert judges.hashes["pose"].startswith("pose.onnx: ")


def test_a_face_is_cut_out_as_the_suite_says(folder):
    """Left and right halves of the picture differ, and the box holds the left one alone."""
    photo = np.full((128, 128, 3), (200, 0, 0), np.uint8)
    photo[:, 56:] = (0, 255, 0)
    left = Detection(FACE.box, POINTS + np.float32([62, 30]), 0.9)
    for crop, said in (("framed", "anger"), ("aligned", "fear")):  # the points lie to the right
        one = replace(JUDGES, expression=replace(MOTION, crop=crop))
        assert Judges(one, folder).motion(photo, left)[0] == EXPRESSIONS.index(said), crop


@pytest.mark.parametrize(
    "change",
    [
        {"frame": 1.5},
        {"beyond": "black"},
        {"colour": "bgr"},
        {"mean": 0.0},
        {"std": 255.0},
        {"crop": "aligned"},
        {"classes": (*MOTION.classes[::-1],)},
    ],
)
def test_another_contract_of_the_same_files_is_another_judge(folder, change):
    plain = Judges(JUDGES, folder)
    other = Judges(replace(JUDGES, expression=replace(MOTION, **change)), folder)
    assert other.hashes == plain.hashes
    assert other.fingerprint != plain.fingerprint
    assert Judges(JUDGES, folder).fingerprint == plain.fingerprint
    turned = replace(JUDGES, pose=replace(JUDGES.pose, degrees=(1, 1, 1)))
    assert Judges(turned, folder).fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": 0.0}, "another std than 0"),
        ({"frame": 0.0}, "a frame of at most"),
        ({"output": -1}, "output at least 0"),
        ({"input": (3, 0, 0)}, "expected at least 1"),
    ],
)
def test_numbers_that_no_judge_can_have_are_refused(change, message):
    with pytest.raises(InputError, match=f"here: the expression judge's .*{message}"):
        check_judges(replace(JUDGES, expression=replace(MOTION, **change)), "here")


def test_one_photograph_has_no_pairs(folder, tmp_path):
    """What cannot be taken is null in the file, which stays JSON."""
    fake_people.write_people(tmp_path / "photos", ("coal",), photos=1)
    people = photographed(tmp_path / "photos", ("",)).photos
    values, rows = on_photos(Judges(JUDGES, folder), people)
    assert [row[1] for row in rows] == ["100.0%", "-", "-"]
    kept = json.loads(json.dumps(plain(values), allow_nan=False))
    assert kept["judge_auc"]["value"] is None


def test_poses_of_yaw():
    yaws = (-60.0, -20.0, -9.9, 0.0, 9.9, 11.0, 34.0, 36.0)
    names = [POSES[pose_of_yaw(yaw)] for yaw in yaws]
    assert names == [
        "full left",
        "half left",
        "front",
        "front",
        "front",
        "half right",
        "half right",
        "full right",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "none.onnx"}, "expression judge .*none.onnx: no such file; --judges DIR"),
        ({"sha256": "0" * 64}, "expected sha256 000000000000..., this file has"),
        (
            {"input": (3, 96, 96)},
            r"expected float32 \[N, 3, 96, 96\] -> \[N, 7\] \(output 0\); this",
        ),
        ({"outputs": 8}, r"this network has tensor\(float\) \['N', 3, 64, 64\] ->"),
        ({"output": 1}, r"\(output 1\); this network has"),
        ({"colour": "grey"}, r"input: expected \[1, s, s\] for grey, got \[3, 64, 64\]"),
    ],
)
def test_a_judge_that_is_missing_or_another_is_named(folder, change, message):
    wrong = replace(JUDGES, expression=replace(MOTION, **change))
    with pytest.raises((InputError, MissingPartError), match=message):
        Judges(wrong, folder)


def test_classes_must_be_known_and_as_many_as_the_outputs():
    check_judges(JUDGES, "here")
    for classes in (("smug", *MOTION.classes[1:]), MOTION.classes[1:]):
        wrong = replace(JUDGES, expression=replace(MOTION, classes=classes))
        with pytest.raises(
            InputError, match=r"here: the expression judge's classes: expected 7 of"
        ):
            check_judges(wrong, "here")


def test_a_second_detector_in_the_folder_is_refused(folder):
    other = replace(JUDGES, detector=PlainFile("pack/recogniser.onnx", ""))
    with pytest.raises(InputError, match=r"insightface takes detector\.onnx of this folder"):
        Judges(other, folder)


def test_verification_counts_all_pairs():
    rows = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    assert verification(list(rows), ["a", "a", "b", "b"]) == (1.0, 2, 4)
    assert verification(list(rows), ["a", "b", "a", "b"])[0] == 0.25  # of 2 x 4 comparisons


def test_the_packaged_judges_are_those_that_the_suites_name():
    if (mini := mini_folder()) is None:
        pytest.skip("this checkout comes without the mini model")
    pinned = Judges(judges_named("made_up"), mini / "face_pack")
    faces = open_pack(mini / "face_pack").hashes
    assert {name: pinned.hashes[name] for name in faces} == faces
    assert judges_named("made_up").clip is not None


def test_the_real_judges_are_those_that_the_suites_name(real_assets):
    judges = judges_named("photos")
    for name, one in judges.files().items():
        found = hashlib.sha256((real_assets / one.file).read_bytes()).hexdigest()
        assert found == one.sha256, name
    Judges(judges, real_assets)  # and of their contracts


@pytest.mark.slow  # a minute: 400 photographs under a detector of 640 pixels
def test_the_recognisers_tell_photographed_people_apart(real_assets):
    people = photographed(real_assets / "att_faces", ("",)).photos
    assert (len(people), {len(some) for some in people.values()}) == (40, {10})
    values, _ = on_photos(Judges(judges_named("photos"), real_assets), people)
    assert values["found"]["value"] >= 0.99
    assert values["pack_auc"]["value"] >= 0.995
    assert values["judge_auc"]["value"] >= 0.99
