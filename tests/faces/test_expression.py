"""The judge of expressions: its contract on networks of known answers, and on real ones where present."""

import fake_face_pack as fake_pack
import numpy as np
import onnx
import pytest
from onnx import helper

from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.faces.expression import OUTPUTS, SIZE, ExpressionJudge, frame_face


def write_judge(path, shape=("N", 1, SIZE, SIZE), outputs=7, batch="N", scale=1.0):
    """Answers `scale` times the grey mean for happy, minus that for sad, zero for the rest."""
    spread = np.zeros((1, outputs), np.float32)
    spread[0, 3:5] = scale * np.array([1, -1])
    nodes = [
        helper.make_node("ReduceMean", ["face"], ["grey"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Flatten", ["grey"], ["mean"], axis=1),
        helper.make_node("MatMul", ["mean", "spread"], ["answer"]),
    ]
    shapes = {"face": list(shape)}, {"answer": [batch, outputs]}
    fake_pack.write_model(path, nodes, *shapes, {"spread": spread})
    return path


def grey(value, height=100, width=80):
    return np.full((height, width, 3), value, np.uint8)


def test_black_is_minus_one_white_is_one_and_logits_become_probabilities(tmp_path):
    judge = ExpressionJudge(write_judge(tmp_path / "judge.onnx"))
    box = np.array([20, 20, 60, 70], np.float32)
    for value, name in ((255, "happy"), (0, "sad")):
        expression, chance = judge(grey(value), box)
        logits = np.array([0, 0, 0, 1, -1, 0, 0]) * (value / 127.5 - 1)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert expression == name
        assert chance == pytest.approx(expected.max(), abs=1e-5)
    assert len(OUTPUTS) == 7


def test_a_batch_of_one_is_enough(tmp_path):
    path = write_judge(tmp_path / "judge.onnx", shape=(1, 1, SIZE, SIZE), batch=1)
    faces = np.stack([np.full((SIZE, SIZE), value, np.uint8) for value in (0, 100, 255)])
    chances = ExpressionJudge(path).probabilities(faces)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    assert (np.diff(chances[:, 3]) > 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": ("N", 3, SIZE, SIZE)},
        {"shape": ("N", 1, 48, 48)},
        {"shape": (4, 1, SIZE, SIZE)},
        {"outputs": 8},
    ],
)
def test_another_contract_is_one_line(tmp_path, changes):
    path = write_judge(tmp_path / "other.onnx", **changes)
    with pytest.raises(
        InputError, match=r"other.onnx: expected .*64, 64.*this network has"
    ) as error:
        ExpressionJudge(path)
    assert "\n" not in str(error.value)


def test_no_file_and_no_network_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file; expected an ONNX network"):
        ExpressionJudge(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(WeightsError, match="damaged, or not an ONNX network"):
        ExpressionJudge(tmp_path / "text.onnx")
    model = onnx.load(write_judge(tmp_path / "judge.onnx")).SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(model[: len(model) // 2])
    with pytest.raises(WeightsError):
        ExpressionJudge(tmp_path / "cut.onnx")


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_the_frame_follows_the_face_at_any_size(scale):
    """A bright square over the face box fills the same part of the frame, in the middle."""
    side = round(200 * scale)
    photo = grey(0, side, side)
    low, high = round(80 * scale), round(120 * scale)
    photo[low:high, low:high] = 255
    face = frame_face(photo, np.array([low, low, high, high], np.float32))
    assert face.shape == (SIZE, SIZE)
    assert face.mean() / 255 == pytest.approx(1 / 1.15**2, abs=0.06)
    np.testing.assert_allclose(face.astype(int), face[::-1, ::-1].astype(int), atol=12)


def test_beyond_the_photo_its_edge_is_repeated():
    face = frame_face(grey(77), np.array([-30, -30, 40, 40], np.float32))
    assert (face == 77).all()


def test_the_real_judge_knows_a_smile(real_assets):
    path = real_assets / "judges" / "emotion_mini_xception_fer2013.onnx"
    if not path.exists():
        pytest.skip(f"no judge at {path}")
    data = pytest.importorskip("skimage.data")
    judge = ExpressionJudge(path)
    expression, chance = judge(data.astronaut(), np.array([180, 65, 265, 180], np.float32))
    assert expression == "happy"
    assert chance > 0.5
