"""A recogniser's weights, back from the file that the face pack's export wrote."""

import jax
import numpy as np
import pytest

from dynamicid_jax.convert.face_onnx import read_recogniser
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.export.face_pack import _write, graph_function
from dynamicid_jax.models.face_configs import FaceNetsConfig
from dynamicid_jax.training.face_base import _draw


@pytest.fixture(scope="module")
def drawn():
    dice = np.random.default_rng(0)
    weights = _draw(FaceNetsConfig(), "recogniser", 0)
    return jax.tree.map(lambda x: x + 0.1 * dice.standard_normal(x.shape).astype("f4"), weights)


def test_the_network_comes_back_as_it_was_written(drawn, tmp_path):
    file = tmp_path / "recogniser.onnx"
    _write(FaceNetsConfig(), "recogniser", drawn, file)
    config, weights = read_recogniser(file)
    picture = np.random.default_rng(1).uniform(-1, 1, (2, 112, 112, 3)).astype(np.float32)
    before, after = (
        jax.jit(graph_function(config, "recogniser", one))(picture)
        for one in (drawn, weights["recogniser"])
    )
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-3 * float(np.abs(before).max()))


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "recogniser.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"recogniser\.onnx"):
        read_recogniser(file)
