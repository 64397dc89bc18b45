"""An ONNX graph under construction: values, constants stored once, nodes, sizes known only at run time.

A value is a NumPy array (known now) or a `Tensor` (known when the model runs). Either may have size
1, or no axes at all, where the JAX value it stands for is larger: pointwise operations broadcast
by themselves, and what needs all elements asks `Graph.expand`.

Helpers on constants are computed now, so a layout change of a weight costs nothing in the model.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dynamicid_jax.errors import ExportError

# onnxruntime 1.20 reads up to opset 22 and IR 10; 18 is the first whose reductions all take axes as an input.
OPSET, IR_VERSION = 18, 8
PRODUCER = "dynamicid-jax"
HALF_FROM = 256  # elements; below, a Cast node costs more bytes than half the constant
SIZE_LIMIT = 2**31 - 1  # bytes of one protobuf message

Shape = tuple[Any, ...]
"""Sizes: int, or a symbolic expression of `jax.export`."""


@dataclass(frozen=True)
class Tensor:
    """The output of a node, or an input of the graph."""

    name: str
    shape: Shape
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


Value = np.ndarray | Tensor


def element_type(dtype: Any) -> int:
    """ONNX's number for a dtype.

    Raises:
        ExportError: onnxruntime's CPU kernels do not compute in it.
    """
    known = {
        "float32": TensorProto.FLOAT,
        "float16": TensorProto.FLOAT16,
        "float64": TensorProto.DOUBLE,
        "int32": TensorProto.INT32,
        "int64": TensorProto.INT64,
        "int8": TensorProto.INT8,
        "uint8": TensorProto.UINT8,
        "bool": TensorProto.BOOL,
    }
    if (name := np.dtype(dtype).name) not in known:
        raise ExportError(
            f"dtype {name}: expected one of {', '.join(known)}; run the function in float32"
        )
    return int(known[name])


def broadcast_shape(shapes: Sequence[Shape]) -> Shape:
    """NumPy's rule for shapes that are known to fit, with symbolic sizes."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(next((d for d in dims if d != 1), 1) for dims in zip(*padded, strict=True))


def int64(values: Sequence[Any]) -> np.ndarray:
    """Sizes, axes or positions as operators take them."""
    return np.array([int(value) for value in values], np.int64)


class Graph:
    """Collects nodes and constants; equal ones are kept once."""

    def __init__(self, reserved: Sequence[str]) -> None:
        self._taken = set(reserved)
        self._count = 0
        self._inputs: list[Tensor] = []
        self._nodes: list[onnx.NodeProto] = []
        self._made: dict[Any, list[Tensor]] = {}
        self._constants: dict[Any, str] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._transposed: dict[str, tuple[Tensor, tuple[int, ...]]] = {}

    def input(self, name: str, shape: Shape, dtype: np.dtype) -> Tensor:
        """Declares an input of the graph."""
        self._inputs.append(Tensor(name, shape, dtype))
        return self._inputs[-1]

    def emit(
        self, op: str, inputs: Sequence[Value], shape: Shape, dtype: Any, **attributes: Any
    ) -> Tensor:
        """Adds a node with one output, or finds the equal one that is there already."""
        return self.emit_many(op, inputs, [shape], dtype, **attributes)[0]

    def emit_many(
        self,
        op: str,
        inputs: Sequence[Value],
        shapes: Sequence[Shape],
        dtype: Any,
        **attributes: Any,
    ) -> list[Tensor]:
        """The same for a node with an output per shape."""
        element_type(dtype)
        names = [self._name(value) for value in inputs]
        key = (op, tuple(names), repr(sorted(attributes.items())))
        if key not in self._made:
            outputs = [Tensor(self._fresh(op.lower()), shape, np.dtype(dtype)) for shape in shapes]
            made = [output.name for output in outputs]
            # insightface guesses a network's preprocessing from node names that start with "Sub" or
            # "Mul"; the names here are in small letters, so that it finds none.
            self._nodes.append(helper.make_node(op, names, made, name=made[0], **attributes))
            self._made[key] = outputs
        return self._made[key]

    def pointwise(self, op: str, *values: Value, dtype: Any = None) -> Value:
        """An elementwise node; NumPy broadcasting; dtype of the first value unless given.

        After a transposition it is put before it, so that between two convolutions only work in
        their own layout remains (onnxruntime can join that to them) and the transpositions meet
        and cancel.
        """
        dtype = values[0].dtype if dtype is None else dtype
        order = self._common_order(values)
        if order is not None:
            inner = [self._before(value, order) for value in values]
            return self.transpose(self.pointwise(op, *inner, dtype=dtype), order)
        return self.emit(op, values, broadcast_shape([value.shape for value in values]), dtype)

    def _common_order(self, values: Sequence[Value]) -> tuple[int, ...] | None:
        """The order in which all values that are no constants were transposed, if there is one."""
        tensors = [value for value in values if isinstance(value, Tensor) and value.ndim]
        orders = {self._transposed.get(tensor.name, (None, None))[1] for tensor in tensors}
        if len(orders) != 1 or (order := orders.pop()) is None:
            return None
        return order if all(value.ndim in (0, len(order)) for value in values) else None

    def _before(self, value: Value, order: tuple[int, ...]) -> Value:
        """What gives the value when its axes are put in this order."""
        return self.transpose(value, np.argsort(order).tolist())

    def cast(self, value: Value, dtype: Any) -> Value:
        """The value in another dtype."""
        if value.dtype == dtype:
            return value
        if isinstance(value, np.ndarray):
            return value.astype(dtype)
        return self.emit("Cast", [value], value.shape, dtype, to=element_type(dtype))

    def reshape(self, value: Value, shape: Shape) -> Value:
        """The same elements in another shape."""
        if value.shape == shape:
            return value
        if isinstance(value, np.ndarray):
            return value.reshape(shape)
        symbolic = [axis for axis, size in enumerate(shape) if not isinstance(size, int | np.int64)]
        if len(symbolic) > 1:
            target: Value = self.extent(shape)
        else:
            target = int64([-1 if axis in symbolic else size for axis, size in enumerate(shape)])
        return self.emit("Reshape", [value, target], shape, value.dtype)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """Axes in another order; one transposition after another becomes one, or none."""
        order = tuple(int(axis) for axis in order)
        if isinstance(value, np.ndarray):
            return value.transpose(order) if value.ndim else value
        if value.name in self._transposed:
            value, inner = self._transposed[value.name]
            order = tuple(inner[axis] for axis in order)
        if value.ndim == 0 or order == tuple(range(value.ndim)):
            return value
        shape = tuple(value.shape[axis] for axis in order)
        result = self.emit("Transpose", [value], shape, value.dtype, perm=list(order))
        self._transposed[result.name] = (value, order)
        return result

    def expand(self, value: Value, shape: Shape) -> Value:
        """All elements of a value that may still have size 1 where `shape` is larger."""
        if value.shape == shape:
            return value
        if isinstance(value, np.ndarray) and all(isinstance(size, int) for size in shape):
            return np.broadcast_to(value, shape)
        return self.emit("Expand", [value, self.extent(shape)], shape, value.dtype)

    def extent(self, shape: Shape) -> Value:
        """A shape as an int64 vector; symbolic sizes are read from the graph's inputs.

        Raises:
            ExportError: a size that is no multiple of a symbolic size of an input.
        """
        sizes = [int64([d]) if isinstance(d, int) else self._symbolic(d) for d in shape]
        if all(isinstance(size, np.ndarray) for size in sizes):
            return np.concatenate([np.asarray(size) for size in sizes])
        return self.emit("Concat", sizes, (len(sizes),), np.int64, axis=0)

    def _symbolic(self, size: Any) -> Value:
        """One symbolic size as an int64 vector of length 1."""
        for tensor in self._inputs:
            for axis, symbol in enumerate(tensor.shape):
                if isinstance(symbol, int) or not isinstance(factor := size // symbol, int):
                    continue
                if size == factor * symbol:
                    found = self.emit("Shape", [tensor], (1,), np.int64, start=axis, end=axis + 1)
                    return found if factor == 1 else self.pointwise("Mul", found, int64([factor]))
        raise ExportError(
            f"size {size}: expected a multiple of one symbolic size of an input; export this "
            "function with fixed shapes"
        )

    def _fresh(self, stem: str) -> str:
        while (name := f"{stem}_{self._count}") in self._taken:
            self._count += 1
        self._count += 1
        return name

    def _name(self, value: Value) -> str:
        if isinstance(value, Tensor):
            return value.name
        element_type(value.dtype)
        # Not np.ascontiguousarray: it gives scalars an axis.
        value = np.asarray(value, order="C")
        key = (value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest())
        if key not in self._constants:
            self._constants[key] = self._fresh("constant")
            self._arrays[self._constants[key]] = value
        return self._constants[key]

    def model(
        self, outputs: Mapping[str, Value], half_weights: bool, notes: Mapping[str, str]
    ) -> onnx.ModelProto:
        """The finished, checked model.

        Args:
            outputs: what each output of the graph is.
            half_weights: see `to_onnx`.
            notes: key and value pairs for the model's metadata.

        Raises:
            ExportError: over 2 GB.
        """
        results = [
            helper.make_node("Identity", [self._name(value)], [name])
            for name, value in outputs.items()
        ]
        nodes = _needed([*self._nodes, *results], set(outputs))
        used = {name for node in nodes for name in node.input}
        arrays = {name: array for name, array in self._arrays.items() if name in used}
        casts, stored = _halved(arrays) if half_weights else ([], arrays)
        if sum(array.nbytes for array in stored.values()) > SIZE_LIMIT:
            raise ExportError("model: over 2 GB of weights, more than one ONNX file can hold")
        graph = helper.make_graph(
            [*casts, *nodes],
            "graph",
            [_declared(tensor.name, tensor) for tensor in self._inputs],
            [_declared(name, value) for name, value in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in stored.items()],
        )
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
        )
        helper.set_model_props(made, dict(notes))
        onnx.checker.check_model(made, full_check=True)
        return made


def _declared(name: str, value: Value) -> onnx.ValueInfoProto:
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return helper.make_tensor_value_info(name, element_type(value.dtype), shape)


def _needed(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the wanted outputs depend on, in order."""
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted = wanted | set(node.input)
            kept.append(node)
    return kept[::-1]


def _halved(
    arrays: Mapping[str, np.ndarray],
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Large float32 constants as float16 where nothing is lost, and the nodes that widen them."""
    casts, stored = [], {}
    for name, array in arrays.items():
        with np.errstate(over="ignore"):  # what overflows is not equal, and stays float32
            half = array.astype(np.float16)
        if array.dtype == np.float32 and array.size >= HALF_FROM and np.array_equal(half, array):
            stored[f"{name}_half"] = half
            casts.append(
                helper.make_node("Cast", [f"{name}_half"], [name], name=name, to=TensorProto.FLOAT)
            )
        else:
            stored[name] = array
    return casts, stored
