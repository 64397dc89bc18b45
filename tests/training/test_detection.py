"""The detector's targets and loss, by geometry and by what insightface makes of the same numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from fake_face_pack import write_pack

from dynamicid_jax.export.onnx import Input, to_onnx
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.training.detection import assign, cells, detection_rows, giou

SIZE = 160


def _one(box):
    return jnp.asarray([[box, [0.0] * 4]], jnp.float32)


@pytest.mark.parametrize("side", [10, 18, 30, 50, 80, 120, 150])
def test_every_face_is_found_by_cells_near_its_middle(side):
    box = [80 - side / 2, 70 - side / 2, 80 + side / 2, 70 + side / 2]
    found, alone, face = (np.asarray(x)[0] for x in assign(_one(box), SIZE))
    centre, _, base = cells(SIZE)
    assert found.sum() >= 1
    assert not (found & alone).any()
    assert (face[found] == 0).all()
    assert (np.abs(centre[found] - [80, 70]).max(1) < side).all()
    assert (np.abs(np.log2(base[found] / side)) < 0.6).all()


def test_nobody_means_no_cell():
    found, alone, _ = assign(jnp.zeros((1, 3, 4)), SIZE)
    assert not found.any()
    assert not alone.any()


def test_two_faces_keep_their_own_cells():
    boxes = jnp.asarray([[[20.0, 60, 60, 100], [95.0, 60, 135, 100]]])
    found, _, face = (np.asarray(x)[0] for x in assign(boxes, SIZE))
    left = cells(SIZE)[0][:, 0] < 80
    assert (face[found & left] == 0).all()
    assert (face[found & ~left] == 1).all()


def _perfect(box, points, sure=12.0):
    """Outputs of a detector that is right, in three levels."""
    centre, stride, _ = cells(SIZE)
    found = np.asarray(assign(_one(box), SIZE)[0])[0]
    logits = np.where(found, sure, -sure)
    ends = np.concatenate([centre - box[:2], box[2:] - centre], 1) / stride[:, None]
    offsets = (points[None] - centre[:, None]) / stride[:, None, None]
    flat = offsets.reshape(len(centre), 10)
    levels = []
    for step in (8, 16, 32):
        own = stride == step
        levels.append(tuple(jnp.asarray(x[own][None], jnp.float32) for x in (logits, ends, flat)))
    return levels


BOX = np.array([50.0, 40, 110, 115])
POINTS = np.array([[65.0, 65], [95, 66], [80, 80], [68, 98], [92, 97]])


def test_a_perfect_detector_loses_nothing_and_any_error_costs():
    boxes, points = _one(BOX), jnp.asarray(np.stack([POINTS, 0 * POINTS])[None], jnp.float32)
    loss, metrics = detection_rows(_perfect(BOX, POINTS), boxes, points, SIZE)
    assert float(loss[0]) == pytest.approx(0, abs=1e-3)
    assert float(metrics["found"]) == 1
    assert float(metrics["false"]) == 0
    for wrong in (
        _perfect(BOX + 6.0, POINTS),
        _perfect(BOX, POINTS + 6.0),
        _perfect(BOX, POINTS, -3.0),
    ):
        assert float(detection_rows(wrong, boxes, points, SIZE)[0][0]) > float(loss[0]) + 0.02


def test_giou_in_closed_form():
    square = jnp.asarray([0.0, 0, 2, 2])
    assert float(giou(square, square)) == pytest.approx(1)
    assert float(giou(square, square + 1)) == pytest.approx(1 / 7 - 2 / 9)
    assert float(giou(square, square + 8)) == pytest.approx(8 / 100 - 1)


def test_insightface_reads_the_same_layout(tmp_path):
    """A network that always says one face: FaceAnalysis must find exactly that face."""

    rows = _perfect(BOX, POINTS)

    def always(x):
        nothing = 0 * x.sum()
        scores = [1 / (1 + jnp.exp(-one[0][0]))[:, None] for one in rows]
        return [
            part + nothing for part in (*scores, *(r[1][0] for r in rows), *(r[2][0] for r in rows))
        ]

    pack = write_pack(tmp_path / "pack")
    names = [f"o{i}" for i in range(9)]
    model = to_onnx(always, [Input("input.1", (1, SIZE, SIZE, 3), channels_first=True)], names)
    (pack / "detector.onnx").write_bytes(model.SerializeToString())
    (face,) = FacePack.load(pack).detect(np.zeros((SIZE, SIZE, 3), np.uint8))
    np.testing.assert_allclose(face.box, BOX, atol=1e-3)
    np.testing.assert_allclose(face.points, POINTS, atol=1e-3)
