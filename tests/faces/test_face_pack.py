"""Loading a pack and reading faces with it, on networks whose answers are known exactly."""

import shutil

import fake_face_pack as fake_pack
import numpy as np
import pytest
from fake_face_pack import LARGE, POINTS, SMALL, photo

from dynamicid_jax.errors import FaceError, InputError, MissingPartError, WeightsError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.pose import HEAD_POINTS
from dynamicid_jax.faces.record import Detection


def refusal(kind, path):
    with pytest.raises(kind) as caught:
        FacePack.load(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_pack_says_what_it_holds(fake_folder, fake):
    assert fake.folder == fake_folder
    assert fake.name == "fake"
    assert fake.files == {"detection": "detector.onnx", "recognition": "recogniser.onnx"}
    assert fake.unused == ()
    assert fake.landmark_sets == (5,)


def test_loading_is_quiet(fake_folder, capfd):
    FacePack.load(fake_folder)
    assert capfd.readouterr() == ("", "")


def test_a_file_of_another_kind_is_left_unused(tmp_path):
    folder = fake_pack.write_pack(tmp_path)
    fake_pack.write_unknown(folder / "other.onnx")
    (folder / "notes.txt").write_text("not a network")
    assert FacePack.load(folder).unused == ("other.onnx",)


def test_a_pack_is_found_by_name_under_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fake_pack.write_pack(tmp_path / ".insightface" / "models" / "mine")
    assert FacePack.load("mine").name == "mine"


def test_an_archive_unpacked_into_a_folder_of_its_own_name(tmp_path):
    fake_pack.write_pack(tmp_path / "antelope" / "antelope")
    assert FacePack.load(tmp_path / "antelope").name == "antelope"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_missing_or_empty_pack_is_never_downloaded(tmp_path, monkeypatch, make):
    def download(*args, **options):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("insightface.app.face_analysis.ensure_available", download)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "buffalo_l")
    for asked in ("buffalo_l", tmp_path / "buffalo_l"):
        line = refusal(MissingPartError, asked)
        assert "buffalo_l" in line
        assert "InsightFace's model zoo" in line
        assert "non-commercial research only" in line
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_is_not_a_pack(fake_folder):
    line = refusal(InputError, fake_folder / "detector.onnx")
    assert "is a file; expected a folder of ONNX files" in line


def test_a_pack_without_detector_or_recogniser(tmp_path, fake_folder):
    for name, missing in (("detector", "a detector"), ("recogniser", "a recogniser")):
        shutil.copytree(fake_folder, tmp_path / name)
        (tmp_path / name / f"{name}.onnx").unlink()
        assert f"lacks {missing}" in refusal(MissingPartError, tmp_path / name)


def test_a_detector_without_key_points_is_not_enough(tmp_path):
    folder = fake_pack.write_pack(tmp_path)
    fake_pack.write_detector(folder / "detector.onnx", key_points=False)
    assert "lacks a detector with five key points" in refusal(MissingPartError, folder)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
@pytest.mark.parametrize("name", ["detector", "recogniser"])
def test_a_damaged_file_is_named(tmp_path, damage, name):
    folder = fake_pack.write_pack(tmp_path)
    path = folder / f"{name}.onnx"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    line = refusal(WeightsError, folder)
    assert f"face pack file {path}: damaged" in line


def test_unknown_providers_are_listed_against_the_known(fake_folder):
    with pytest.raises(InputError, match=r"NoSuchProvider.*available are .*CPUExecutionProvider"):
        FacePack.load(fake_folder, providers=["NoSuchProvider"])


def test_threads_can_be_limited(fake_folder):
    pack = FacePack.load(fake_folder, threads=1)
    assert len(pack.detect(photo(("large", 5, 5)))) == 1


def test_detection_gives_boxes_points_and_score_from_left_to_right(fake):
    found = fake.detect(photo(("large", 15, 4), ("small", 5, 20), ("large", 5, 14)))
    expected = [((80, 320), SMALL), ((160, 448), LARGE), ((480, 128), LARGE)]
    assert len(found) == len(expected)
    for one, (centre, half) in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.box, [*np.subtract(centre, half), *np.add(centre, half)])
        np.testing.assert_allclose(one.points, np.array(centre) + POINTS * half, rtol=1e-5)
        assert 0.9 < one.score < 1.01
        assert one.width == one.height == 2 * half


def test_detection_scales_to_the_photo(fake):
    small = photo(("large", 5, 3))[::2, ::2]
    (found,) = fake.detect(np.ascontiguousarray(small))
    np.testing.assert_allclose(found.box, [48, 16, 112, 80])


def test_the_detector_gets_the_channels_it_expects(fake):
    assert fake.detect(np.ascontiguousarray(photo(("large", 5, 5))[..., ::-1])) == []


def test_a_face_that_fills_the_frame_is_found_with_a_border(fake):
    """The fake detector sees nothing in an all red photo, but does with a border around it."""
    filled = np.zeros((320, 320, 3), np.uint8)
    filled[..., 0] = 255
    found = fake.detect(filled)
    assert found
    boxes = np.stack([one.box for one in found])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert middles.min() >= 0
    assert middles.max() <= 320  # in pixels of the photo, not of the padded one
    mean = middles.mean(0)
    np.testing.assert_allclose(mean, [160, 160], atol=20)
    offsets = found[0].points - middles[0][None]
    np.testing.assert_allclose(offsets, POINTS * LARGE, atol=1e-3)


@pytest.mark.parametrize("shape", [(20, 20000, 3), (20000, 20, 3), (16, 16, 3)])
def test_a_photo_without_a_face(fake, shape):
    assert fake.detect(np.zeros(shape, np.uint8)) == []


def test_the_embedding_is_normalised_and_takes_the_channel_order_asked_for(fake):
    pixels = np.maximum(photo(("large", 10, 10)), np.array([[[90, 60, 20]]], np.uint8))
    (found,) = fake.detect(pixels)
    straight, swapped = (fake.record(pixels, found, order).embedding for order in ("bgr", "rgb"))
    assert straight.dtype == np.float32
    for embedding in (straight, swapped):
        np.testing.assert_allclose(np.linalg.norm(embedding), 1, rtol=1e-6)
    np.testing.assert_allclose(swapped[:3], straight[2::-1], atol=1e-6)
    red, green, blue = straight[:3]
    assert red > green > blue


def test_a_recogniser_of_another_size(tmp_path):
    folder = fake_pack.write_pack(tmp_path)
    fake_pack.write_recogniser(folder / "recogniser.onnx", size=128)
    pack = FacePack.load(folder)
    pixels = photo(("large", 10, 10))
    assert pack.record(pixels, pack.detect(pixels)[0]).embedding.shape == (512,)


def test_a_recogniser_that_answers_nothing_is_an_error(tmp_path):
    folder = fake_pack.write_pack(tmp_path)
    fake_pack.write_recogniser(folder / "recogniser.onnx", gain=0.0)
    pack = FacePack.load(folder)
    pixels = photo(("large", 10, 10))
    with pytest.raises(FaceError, match=r"recogniser\.onnx: gives no embedding"):
        pack.record(pixels, pack.detect(pixels)[0])


def test_without_landmark_networks_points_and_pose_come_from_the_detector(fake):
    pixels = photo(("large", 10, 10))
    (found,) = fake.detect(pixels)
    record = fake.record(pixels, found)
    assert record.pose.source == "estimated from 5 points"
    assert record.landmark_set == 5
    np.testing.assert_array_equal(record.landmarks(), found.points)
    with pytest.raises(MissingPartError, match="106 were asked for; add a 106-point network"):
        record.landmarks(106)
    with pytest.raises(MissingPartError, match="7 were asked for"):
        record.landmarks(7)


def test_106_landmarks_are_placed_in_the_photo(tmp_path):
    """The network sees a square of 1.5 times the face box and answers in [-1, 1] of it."""
    folder = fake_pack.write_pack(tmp_path)
    answer = np.random.default_rng(0).uniform(-1, 1, (106, 2))
    fake_pack.write_landmarks(folder / "landmarks.onnx", answer)
    pack = FacePack.load(folder)
    assert pack.landmark_sets == (5, 106)
    pixels = photo(("large", 10, 6))
    record = pack.record(pixels, pack.detect(pixels)[0])
    expected = np.array([[320, 192]]) + answer * 1.5 * LARGE
    np.testing.assert_allclose(record.landmarks(106), expected, atol=1e-2)
    np.testing.assert_array_equal(record.landmarks(), record.landmarks(106))
    assert record.landmark_set == 106
    assert record.pose.source == "estimated from 5 points"


def test_the_pose_of_a_3d_network_is_read_in_the_right_order(tmp_path):
    """Insightface gives pitch, yaw, roll; the network's answer is its mean face, turned."""
    from insightface.data import get_object

    yaw, pitch, roll = np.radians([20, 8, -5])
    turn = about("z", roll) @ about("y", yaw) @ about("x", pitch)
    seen = get_object("meanshape_68.pkl") @ turn.T * 0.5
    answer = np.concatenate([np.zeros((1103 - 68, 3)), seen])
    folder = fake_pack.write_pack(tmp_path)
    fake_pack.write_landmarks(folder / "1k3d68.onnx", answer)
    pack = FacePack.load(folder)
    assert pack.landmark_sets == (5, 68)
    pixels = photo(("large", 10, 10))
    record = pack.record(pixels, pack.detect(pixels)[0])
    pose = record.pose
    np.testing.assert_allclose([pose.yaw, pose.pitch, pose.roll], [20, 8, -5], atol=0.1)
    assert pose.source == "network"
    assert record.landmark_set == 68
    expected = np.array([[320, 320]]) + seen[:, :2] * 1.5 * LARGE
    np.testing.assert_allclose(record.landmarks(68), expected, atol=1e-2)


def about(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    rows = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return np.array(rows.get(axis, [[c, -s, 0], [s, c, 0], [0, 0, 1]]))


def test_points_without_a_face_are_an_error(fake):
    pixels = photo(("large", 10, 10))
    line = np.linspace([0, 0], [100, 50], 5).astype(np.float32)
    odd = Detection(np.array([0, 0, 100, 100], np.float32), line, 0.9)
    with pytest.raises(FaceError, match="five points of a face"):
        fake.record(pixels, odd)


def test_the_head_model_is_symmetric():
    np.testing.assert_array_equal(HEAD_POINTS[[1, 0, 2, 4, 3]] * [-1, 1, 1], HEAD_POINTS)
