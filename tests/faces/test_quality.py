"""Reasons and their limits, in words and as JSON."""

import json

import numpy as np
import pytest

from dynamicid_jax.faces.pose import Pose
from dynamicid_jax.faces.quality import Finding, Verdict, sharpness, soft_findings
from dynamicid_jax.faces.record import Detection, FaceRecord


def record(width=100.0, score=0.8, yaw=0.0, pitch=0.0, source="network"):
    box = np.array([10, 10, 10 + width, 10 + 1.3 * width], np.float32)
    return FaceRecord(
        detection=Detection(box, np.zeros((5, 2), np.float32), score),
        embedding=np.ones(4, np.float32) / 2,
        pose=Pose(yaw, pitch, 0.0, source),
    )


def reasons(sharp=200.0, **face):
    return [finding.reason for finding in soft_findings(record(**face), sharp)]


def test_a_good_face_gives_no_finding():
    assert reasons() == []
    assert Verdict("a.png", (640, 480), 1, 0, record(), 200.0).word == "good"


def test_each_limit_has_its_reason():
    assert reasons(width=63.5) == ["face too small"]
    assert reasons(width=64.5) == []
    assert reasons(sharp=29.0) == ["blurred"]
    assert reasons(sharp=31.0) == []
    assert reasons(yaw=-46.0) == reasons(pitch=41.0) == ["extreme pose"]
    assert reasons(yaw=44.0, pitch=-39.0) == []
    assert reasons(score=0.59) == ["low score"]
    assert reasons(score=0.61) == []


def test_a_small_face_is_not_called_blurred_too():
    assert reasons(width=41.0, sharp=5.0) == ["face too small"]


def test_findings_are_plain_words_with_number_and_limit():
    (small,) = soft_findings(record(width=41.0), 200.0)
    assert small.text == "face is 41 px wide; at least 64 px gives good likeness"
    assert (small.value, small.limit, small.hard) == (41.0, 64.0, False)
    (turned,) = soft_findings(record(yaw=-58.0), 200.0)
    assert turned.text == (
        "face is turned 58 degrees to the picture's left; at most 45 gives good likeness"
    )
    (bent,) = soft_findings(record(pitch=-52.0, source="estimated from 5 points"), 200.0)
    assert bent.text == (
        "face looks down by 52 degrees (estimated from 5 points); at most 40 gives good likeness"
    )


def texture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def test_sharpness_of_known_pictures():
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0
    ramp = np.tile(np.arange(112, dtype=np.uint8)[:, None, None], (1, 112, 3))
    np.testing.assert_allclose(sharpness(ramp), 0, atol=1e-6)
    checks = np.indices((112, 112)).sum(0) % 2
    board = np.repeat(np.where(checks, 20, 10).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_allclose(sharpness(board), 40.0**2, rtol=1e-4)  # each neighbour differs by 10


def test_blur_lowers_sharpness_and_the_border_plays_no_part():
    import cv2

    sharp = texture()
    values = [sharpness(cv2.GaussianBlur(sharp, (0, 0), sigma)) for sigma in (0.3, 0.6, 1, 2, 4)]
    assert sharpness(sharp) > values[0]
    assert (np.diff(values) < 0).all()
    bordered = cv2.GaussianBlur(sharp, (0, 0), 4)
    before = sharpness(bordered)
    bordered[:20], bordered[:, :16] = sharp[:20], 0
    assert sharpness(bordered) == before


def test_json_holds_everything_but_the_embedding():
    findings = (Finding("blurred", "face is blurred", value=7.0, limit=30.0),)
    verdict = Verdict("a.png", (640, 480), 2, 1, record(yaw=-12.34), 7.0, findings)
    value = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert value == {
        "photo": "a.png",
        "verdict": "usable",
        "width": 640,
        "height": 480,
        "faces": 2,
        "taken": 1,
        "face": {
            "box_pixels": [10.0, 10.0, 110.0, 140.0],
            "score": 0.8,
            "sharpness": 7.0,
            "yaw": -12.3,
            "pitch": 0.0,
            "roll": 0.0,
            "pose_source": "network",
            "landmarks": 5,
        },
        "findings": [
            {
                "reason": "blurred",
                "text": "face is blurred",
                "hard": False,
                "value": 7.0,
                "limit": 30.0,
            }
        ],
    }


@pytest.mark.parametrize("hard", [True, False])
def test_only_hard_findings_make_a_photo_unusable(hard):
    verdict = Verdict("a.png", findings=(Finding("unreadable", "cut short", hard=hard),))
    assert verdict.usable is not hard
    assert verdict.word == ("not usable" if hard else "usable")
    assert verdict.lines() == ["a.png: cut short"]
    assert verdict.to_json()["face"] is None
