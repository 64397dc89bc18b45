"""The same code on real networks and photographs; skipped where they are absent.

The photographs of att_faces (40 people, 10 each) were taken at the Olivetti Research Laboratory.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamicid_jax.faces.quality import MIN_SHARPNESS
from dynamicid_jax.faces.reference import examine, make_reference
from dynamicid_jax.images import load_rgb

OURS: dict[str, Any] = {"id_channels": "bgr", "reference_crop": "face x 2"}


@pytest.fixture(scope="module")
def astronaut():
    """In scikit-image's wheel; a download would fail without a network."""
    data = pytest.importorskip("skimage.data")
    return data.astronaut()


@pytest.fixture(scope="module")
def group():
    """Six people, in insightface's wheel."""
    import insightface

    path = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    if not path.exists():
        pytest.skip("this insightface has no sample photograph")
    return load_rgb(path)


def test_the_pack_loads(real):
    assert set(real.files) == {"detection", "recognition"}
    assert real.landmark_sets == (5,)


def test_the_astronaut_is_one_good_face(real, astronaut):
    reference = make_reference(astronaut, real, **OURS)
    verdict = reference.verdict
    assert (verdict.word, verdict.faces, verdict.taken) == ("good", 1, 0)
    x0, y0, x1, y1 = reference.record.box
    assert 170 < x0 < 200 < 250 < x1 < 285
    assert 45 < y0 < 75 < 160 < y1 < 190
    longer = max(x1 - x0, y1 - y0)
    np.testing.assert_allclose(reference.crop.shape[:2], 2 * longer, atol=1)


@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_the_embedding_is_insightfaces_own(real, real_assets, astronaut, order):
    """`rgb` is what the published code computes: insightface given RGB where it expects BGR."""
    from insightface.app import FaceAnalysis

    analysis = FaceAnalysis(str(real_assets / "face_pack"), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=0, det_size=(640, 640))
    record = real.record(astronaut, real.detect(astronaut)[0], order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-image, in insightface
        face = analysis.get(np.ascontiguousarray(astronaut[..., ::-1]))[0]
        if order == "rgb":  # with the points found in the right order, as ours
            analysis.models["recognition"].get(astronaut, face)
    np.testing.assert_allclose(record.embedding, face.normed_embedding, atol=2e-4)
    np.testing.assert_allclose(record.box, face.bbox, atol=1e-3)


def test_the_channel_order_matters(real, astronaut):
    found = real.detect(astronaut)[0]
    one, other = (real.record(astronaut, found, order).embedding for order in ("bgr", "rgb"))
    assert 0.5 < one @ other < 0.999


def test_a_group_has_six_faces_of_six_people(real, group):
    found = real.detect(group)
    assert len(found) == 6
    embeddings = np.stack([real.record(group, one).embedding for one in found])
    similar = embeddings @ embeddings.T - np.eye(6)
    assert similar.max() < 0.35
    verdict = examine(group, real)
    assert verdict.findings[0].reason == "several faces"
    assert verdict.record is not None
    areas = [one.width * one.height for one in found]
    assert verdict.taken == int(np.argmax(areas))


def test_blur_is_called_blurred_and_sharp_faces_are_not(real, group, astronaut):
    import cv2

    for photo in (group, astronaut):
        for place, one in enumerate(real.detect(photo)):
            sharp = examine(photo, real, which=place)
            assert sharp.sharpness is not None
            assert sharp.sharpness > 3 * MIN_SHARPNESS
            soft = examine(cv2.GaussianBlur(photo, (0, 0), 0.025 * one.width), real, which=place)
            assert "blurred" in [finding.reason for finding in soft.findings]


def test_a_small_face_is_called_small(real, astronaut):
    verdict = examine(np.ascontiguousarray(astronaut[::3, ::3]), real)
    assert [finding.reason for finding in verdict.findings] == ["face too small"]


def test_a_face_that_fills_the_frame_is_found_where_it_is(real, astronaut):
    whole = real.detect(astronaut)[0]
    x0, y0, x1, y1 = (int(edge) for edge in whole.box)
    close = np.ascontiguousarray(astronaut[y0:y1, x0:x1])
    assert real._detect(close) == []  # otherwise this shows nothing about the border
    (found,) = real.detect(close)
    np.testing.assert_allclose(found.points + np.array([[x0, y0]]), whole.points, atol=4)
    one, other = real.record(astronaut, whole), real.record(close, found)
    assert one.embedding @ other.embedding > 0.8


@pytest.fixture(scope="module")
def photos(real_assets):
    """(person, file) of att_faces, ten files a person."""
    files = (real_assets / "att_faces").glob("s*/*.pgm")
    found = sorted(files, key=lambda path: (int(path.parent.name[1:]), int(path.stem)))
    if not found:
        pytest.skip(f"no photographs in {real_assets / 'att_faces'}")
    return [(path.parent.name, path) for path in found]


@pytest.fixture(scope="module")
def sample(real, photos):
    """(person, file, reference) of three photos of every second person: 60 of the 400."""
    chosen = [photos[20 * person + k] for person in range(20) for k in (0, 4, 8)]
    return [(person, path, make_reference(path, real, **OURS)) for person, path in chosen]


def rank1(people, embeddings):
    """Share of photos whose nearest other photo is of the same person."""
    cosine = np.stack(embeddings) @ np.stack(embeddings).T
    np.fill_diagonal(cosine, -2)
    people = np.array(people)
    return (people == people[cosine.argmax(1)]).mean()


def test_embeddings_tell_people_apart(sample):
    share = rank1([person for person, *_ in sample], [one.embedding for *_, one in sample])
    assert share >= 0.99


@pytest.mark.slow
def test_embeddings_tell_people_apart_on_all_photos(real, photos):
    assert len(photos) == 400
    references = [make_reference(path, real, **OURS) for _, path in photos]
    share = rank1([person for person, _ in photos], [one.embedding for one in references])
    print(f"rank-1 of 400: {share:.4f}")
    assert share >= 0.99


def test_the_estimated_pose_agrees_with_a_pose_network(real_assets, sample):
    """FSA-Net's yaw has the opposite sign of ours."""
    network = _pose_network(real_assets / "judges" / "fsanet_1x1.onnx")
    estimated, judged = [], []
    for _, path, reference in sample:
        pose = reference.record.pose
        estimated.append([pose.yaw, pose.pitch, pose.roll])
        judged.append(network(load_rgb(path), reference.record.box) * [-1, 1, 1])
    pairs = zip(np.array(estimated).T, np.array(judged).T, strict=True)
    yaw, pitch, roll = (np.corrcoef(one, other)[0, 1] for one, other in pairs)
    print(f"correlation with FSA-Net: yaw {yaw:.3f}, pitch {pitch:.3f}, roll {roll:.3f}")
    assert yaw > 0.85
    assert pitch > 0.7
    assert roll > 0.7


def _pose_network(path):
    import onnxruntime

    if not path.exists():
        pytest.skip(f"no pose network at {path}")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def judge(photo, box):
        import cv2

        scale = 64 / (1.3 * (box[2:] - box[:2]).max())
        shift = 32 - scale * (box[:2] + box[2:]) / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        mode: dict[str, Any] = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
        face = cv2.warpAffine(photo[..., ::-1], matrix, (64, 64), **mode)
        batch = (face.astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 128
        return session.run(None, {name: batch})[0][0]

    return judge
