"""CLIP-T by a pair of networks whose answers are known."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.clip_judge import ClipJudge
from dynamicid_jax.evaluation.judge_files import ClipFiles, PlainFile
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import write_tokenizer

LENGTH = 16
FILES = ClipFiles(
    PlainFile("image.onnx", ""),
    PlainFile("text.onnx", ""),
    "tokenizer",
    size=32,
    length=LENGTH,
    means=(0.0, 0.0, 0.0),
    stds=(1.0, 1.0, 1.0),
)


def save(path, nodes, given, constants=(), size=3):
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", size])
    graph = helper.make_graph(nodes, "fake", [given], [out], list(constants))
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.fixture
def folder(tmp_path):
    """Pictures to their mean colour, texts to their first three tokens."""
    picture = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 3, 32, 32])
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", LENGTH])
    mean = helper.make_node("ReduceMean", ["p"], ["out"], axes=[2, 3], keepdims=0)
    save(tmp_path / "image.onnx", [mean], picture)
    nodes = [
        helper.make_node("Gather", ["ids", "first"], ["some"], axis=1),
        helper.make_node("Cast", ["some"], ["out"], to=TensorProto.FLOAT),
    ]
    first = numpy_helper.from_array(np.array([0, 1, 2]), "first")
    save(tmp_path / "text.onnx", nodes, ids, [first])
    write_tokenizer(tmp_path / "tokenizer", LENGTH)
    return tmp_path


def test_the_cosine_of_picture_and_text_kept_for_the_next_time(folder, tmp_path):
    judge = ClipJudge(FILES, folder, tmp_path / "clip.jsonl", "x")
    picture = np.full((40, 64, 3), (255, 0, 128), np.uint8)
    first = Tokenizer(folder / "tokenizer", LENGTH)(["a b"])[0, :3].astype(np.float64)
    colour = np.array([255.0, 0, 128])
    expected = colour @ first / np.linalg.norm(colour) / np.linalg.norm(first)
    assert judge(picture, "a b") == pytest.approx(expected, abs=1e-5)
    kept = (tmp_path / "clip.jsonl").read_text()
    assert ClipJudge(FILES, folder, tmp_path / "clip.jsonl", "x")(picture, "a b") == judge(
        picture, "a b"
    )
    assert (tmp_path / "clip.jsonl").read_text() == kept
    ClipJudge(FILES, folder, tmp_path / "clip.jsonl", "other")(picture, "a b")
    assert len((tmp_path / "clip.jsonl").read_text().splitlines()) == 4


def test_a_pair_that_is_none_is_named_before_it_is_asked(folder, tmp_path):
    """Four numbers of a picture and three of a text; files of a model folder beside others."""
    picture = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 3, 32, 32])
    means = helper.make_node("ReduceMean", ["p"], ["means"], axes=[2, 3], keepdims=0)
    wider = helper.make_node("Concat", ["means", "means"], ["out"], axis=1)
    save(folder / "image.onnx", [means, wider], picture, size=6)
    with pytest.raises(InputError, match="one space, got 6 numbers of a picture and 3 of a text"):
        ClipJudge(FILES, folder, tmp_path / "clip.jsonl", "x")
    mixed = replace(FILES, image=PlainFile("../image_encoder.safetensors", ""))
    with pytest.raises(InputError, match=r"two ONNX files, or image_encoder\.safetensors"):
        ClipJudge(mixed, folder, tmp_path / "clip.jsonl", "x")


def test_another_contract_is_named(folder, tmp_path):
    (folder / "image.onnx").write_bytes((folder / "text.onnx").read_bytes())
    with pytest.raises(
        InputError, match=r"clip image judge: expected one input tensor\(float\) \[N, 3"
    ):
        ClipJudge(FILES, folder, tmp_path / "clip.jsonl", "x")
