"""An ONNX file before onnxruntime sees it: what a face network needs, and nothing else.

Refused are files that are too large, that keep data in other files, that bring or name operators outside ONNX's own
set, or that hold other programs (control flow, functions, training): none of these occurs in a face pack, and each is
a way to make a reader open other files, load other code, or never come to an end.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.text import printable

MAX_BYTES = 1 << 30  # InsightFace's largest network has 261 MB
MAX_VALUES = 1 << 28  # of a single tensor or tensor shape: 1 GB of float32
MAX_SIDE = 4096  # of an input
DOMAINS = ("", "ai.onnx")
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")


def open_network(path: Path, name: str) -> Any:
    """A checked file as an onnxruntime session on the CPU, with one thread; `name` is what messages call it.

    Raises:
        WeightsError: refused, damaged, or no network that onnxruntime can run.
    """
    import onnxruntime

    check_network(path, name)
    options = quiet_options(1)
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own kinds
        raise WeightsError(
            f"{name}: damaged, or not an ONNX network that onnxruntime can run ({one_line(error)})"
        ) from None


def quiet_options(threads: int | None = None) -> Any:
    """Onnxruntime's SessionOptions without its own coloured lines: what goes wrong is told in our one line.

    Args:
        threads: within an operator; None leaves it to onnxruntime.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def check_network(path: Path, name: str) -> None:
    """Reads a file without running it; `name` is what messages call it.

    Raises:
        WeightsError: one line that says what is refused.
    """
    import onnx

    if not path.is_file():
        raise WeightsError(f"{name}: not a regular file")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(
            f"{name}: {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read as a face network"
        )
    try:
        model = onnx.load(str(path), load_external_data=False)
        found = next(_refusals(onnx, model), None)
        if found is None:
            onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx have many kinds of their own
        raise WeightsError(
            f"{name}: damaged, or not an ONNX network; replace it or take it out of the folder ({one_line(error)})"
        ) from None
    if found is not None:
        raise WeightsError(f"{name}: refused: {found}")


def _refusals(onnx: Any, model: Any) -> Iterator[str]:
    """What speaks against a model, in words."""
    if model.functions:
        yield "it defines operators of its own"
    if model.training_info:
        yield "it holds a training program"
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            yield f"it names operators of {_short(opset.domain)!r}; expected ONNX's own only"
    graph = model.graph
    for node in graph.node:
        if node.domain not in DOMAINS:
            yield f"operator {_short(node.op_type)!r} is of {_short(node.domain)!r}, not of ONNX's own set"
        if node.op_type in CONTROL_FLOW:
            yield f"operator {node.op_type!r} runs other programs"
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                yield f"operator {_short(node.op_type)!r} holds another program"
    weights = {one.name for one in graph.initializer}
    for given in graph.input:  # older files list their weights here too
        sides = [int(one.dim_value) for one in given.type.tensor_type.shape.dim]
        if given.name not in weights and not all(0 <= side <= MAX_SIDE for side in sides):
            yield f"its input {_short(given.name)!r} is of a size that no face network takes"
    for tensor in _tensors(graph):
        yield from _tensor_refusals(onnx, tensor)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor with data: weights, constants, the parts of sparse ones."""
    sparse = list(graph.sparse_initializer)
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            sparse += attribute.sparse_tensors
    for one in sparse:
        yield from (one.values, one.indices)


def _tensor_refusals(onnx: Any, tensor: Any) -> Iterator[str]:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        yield f"tensor {_short(tensor.name)!r} keeps its data in another file"
    count = 1
    for size in tensor.dims:
        count *= max(int(size), 1)
    if count > MAX_VALUES or any(size < 0 for size in tensor.dims):
        yield f"tensor {_short(tensor.name)!r} is of a shape that no face network has"


def _short(text: str) -> str:
    return printable(text[:60])


def one_line(error: Exception) -> str:
    """An error's own words, short and on one line."""
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}")
