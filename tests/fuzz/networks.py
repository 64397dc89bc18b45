"""Damaged and hostile ONNX files in a face pack: networks that look at a photograph, or a refusal."""

from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.reference import examine

from .harness import Case, Fuzzer
from .mutate import INTERESTING, Generator, mutate_bytes, pick

DOMAINS = ("com.microsoft", "evil", "ai.onnx.ml", "ai.onnx.training", "ai.onnx", "\n")
OPERATORS = (
    "Loop",
    "If",
    "Scan",
    "PyOp",
    "ConstantOfShape",
    "Range",
    "Tile",
    "Expand",
    "Resize",
    "Pad",
    "Optional",
)


SUBTLE = (4, 6, 7, 10)
"""Changes that often leave a whole network behind: weights, attributes, wiring, sizes."""


def _seeds(fake: Any, folder: Path) -> list[bytes]:
    pack = fake.write_pack(folder / "whole")
    fake.write_landmarks(pack / "points.onnx", np.linspace(-0.9, 0.9, 212))
    return [file.read_bytes() for file in sorted(pack.glob("*.onnx"))]


def _changed(rng: Generator, model: Any) -> None:
    """One change to what a whole file says."""
    import onnx

    graph, number = model.graph, int(pick(rng, INTERESTING))
    node, tensor = pick(rng, graph.node), pick(rng, graph.initializer)
    kind = pick(rng, (*range(12), *(SUBTLE * 3)))
    if kind == 0:
        node.domain = pick(rng, DOMAINS)
    elif kind == 1:
        node.op_type = pick(rng, OPERATORS)
    elif kind == 2:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(
            key="location", value=pick(rng, ("../../etc/passwd", "/etc/passwd", "x"))
        )
    elif kind == 3 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = number - pick(rng, (0, 2**32))
    elif kind == 4:
        size = len(tensor.raw_data)
        tensor.raw_data = rng.bytes(size if rng.random() < 0.7 else int(rng.integers(0, 200)))
    elif kind == 5:
        tensor.data_type = int(rng.integers(0, 25))
    elif kind == 6 and node.attribute:
        attribute = pick(rng, node.attribute)
        if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = number
        attribute.i = number
    elif kind == 7:
        node.input[:] = [pick(rng, graph.node).output[0] for _ in node.input]
    elif kind == 8:
        model.opset_import.add(domain=pick(rng, DOMAINS), version=1)
    elif kind == 9:
        function = model.functions.add(name=node.op_type, domain="evil")
        function.node.add(op_type="Identity", input=["a"], output=["b"])
    elif kind == 10:
        shape = graph.input[0].type.tensor_type.shape.dim
        shape[int(rng.integers(len(shape)))].dim_value = number
    else:
        graph.ClearField(pick(rng, ("node", "input", "output", "initializer", "name")))


def _mutated(rng: Generator, data: bytes, seeds: list[bytes]) -> bytes:
    import onnx

    if rng.random() < 0.4:
        return mutate_bytes(rng, data, seeds)
    model = onnx.load_from_string(data)
    for _ in range(int(rng.integers(1, 3))):
        if model.graph.node and model.graph.initializer and model.graph.input:
            _changed(rng, model)
    return model.SerializeToString()


def _prepare(folder: Path) -> Case:
    import fake_face_pack as fake  # of tests/, which is on the path only where a case runs

    seeds, pack = _seeds(fake, folder), folder / "pack"
    photo = fake.photo(("large", 10, 10))
    pack.mkdir()

    def case(rng: Generator) -> None:
        damaged = int(rng.integers(len(seeds)))
        for number, data in enumerate(seeds):
            whole = number != damaged
            (pack / f"{number}.onnx").write_bytes(data if whole else _mutated(rng, data, seeds))
        examine(photo, FacePack.load(pack))

    return case


FUZZER = Fuzzer("networks", 1_000, 12, _prepare)
