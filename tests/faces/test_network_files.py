"""ONNX files of a face pack that are refused before onnxruntime sees them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_face_pack as fake
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.faces import network_files
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.reference import examine
from dynamicid_jax.packaged import mini_folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return fake.write_pack(tmp_path / "pack")


def external(model: Any) -> None:
    """The first weight's data lie in a file somewhere else."""
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../etc/passwd")


def external_constant(model: Any) -> None:
    """The same, hidden in a node."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0])
    model.graph.node.add(op_type="Constant", output=["hidden"]).attribute.add(name="value", t=value)
    external_of = model.graph.node[-1].attribute[0].t
    external_of.external_data.add(key="location", value="weights.bin")


def custom_domain(model: Any) -> None:
    model.opset_import.add(domain="evil.ops", version=1)


def custom_operator(model: Any) -> None:
    model.graph.node[0].domain = "evil.ops"


def unknown_operator(model: Any) -> None:
    model.graph.node[0].op_type = "RunShellCommand"


def loop(model: Any) -> None:
    model.graph.node[0].op_type = "Loop"


def hidden_program(model: Any) -> None:
    model.graph.node[0].attribute.add(name="body", g=helper.make_graph([], "body", [], []))


def function(model: Any) -> None:
    model.functions.add(name="Relu", domain="evil.ops")


def huge_shape(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40]


def huge_input(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 65535


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (external, "keeps its data in another file"),
        (external_constant, "keeps its data in another file"),
        (custom_domain, "names operators of 'evil.ops'"),
        (custom_operator, "is of 'evil.ops', not of ONNX's own set"),
        (unknown_operator, "not an ONNX network"),
        (loop, "runs other programs"),
        (hidden_program, "holds another program"),
        (function, "defines operators of its own"),
        (huge_shape, "of a shape that no face network has"),
        (huge_input, "of a size that no face network takes"),
    ],
)
def test_what_no_face_network_needs_is_refused(
    pack: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None], match: str
) -> None:
    file = next(pack.glob("det*.onnx"), None) or sorted(pack.glob("*.onnx"))[0]
    model = onnx.load(str(file))
    change(model)
    file.write_bytes(model.SerializeToString())

    def seen(*args: Any, **more: Any) -> None:
        raise AssertionError("onnxruntime saw it")

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", seen)
    with pytest.raises(WeightsError, match=match) as caught:
        FacePack.load(pack)
    assert file.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_oversized_file_is_not_even_parsed(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_files, "MAX_BYTES", 100)
    with pytest.raises(WeightsError, match="bytes; at most 100 are read as a face network"):
        FacePack.load(pack)


def test_the_packaged_packs_files_pass() -> None:
    folder = mini_folder()
    if folder is None:
        pytest.skip("this version comes without the mini model")
    for file in (folder / "face_pack").glob("*.onnx"):
        network_files.check_network(file, file.name)


def test_real_packs_files_pass(real_assets: Path) -> None:
    for file in (real_assets / "face_pack").glob("*.onnx"):
        network_files.check_network(file, file.name)


def test_a_network_that_fails_on_a_photo_is_named(pack: Path) -> None:
    """Its inputs are a recogniser's, and it wants another number of channels."""
    file = next(one for one in sorted(pack.glob("*.onnx")) if "det" not in one.name)
    model = onnx.load(str(file))
    photo = fake.photo(("large", 10, 10))
    examine(photo, FacePack.load(pack))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    file.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"^face pack file [^\n]*: (fails on a photo|damaged)"):
        examine(photo, FacePack.load(pack))
