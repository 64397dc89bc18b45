"""JAX functions as ONNX models: trace to a jaxpr, then translate it primitive by primitive.

    function, inputs -> jaxpr -> nodes and constants -> checked ModelProto

Arrays that the function closes over (weights) become the model's constants. What depends on
constants alone is computed now. Calls are inlined; a choice by platform takes the branch for
platforms that are not named, since the other ones hold tricks of one backend.

Translators: onnx_pointwise.py, onnx_shapes.py, onnx_linear.py (convolutions, products, reductions).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from dynamicid_jax.errors import InputError
from dynamicid_jax.export import onnx_linear, onnx_pointwise, onnx_shapes  # noqa: F401  the tables
from dynamicid_jax.export.compare import largest
from dynamicid_jax.export.onnx_graph import Graph, Value
from dynamicid_jax.export.onnx_rules import LAZY, POINTWISE, WHOLE, dtype_of, shape_of, unsupported
from dynamicid_jax.files import write_atomically

CHANNELS_FIRST = "channels_first"  # metadata key: names of the inputs that the graph takes so
# Primitives that call a function, and the parameter that holds it.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
}
# Left to the runtime even when constant: an accelerator's own product may have few digits.
NOT_FOLDED = ("dot_general", "conv_general_dilated")


@dataclass(frozen=True)
class Input:
    """One array argument of an exported function.

    Attributes:
        name: of the graph's input.
        shape: as the function takes it; a word is a size known only at run time ("n").
        dtype: of the array.
        channels_first: the graph takes `n c ...` where the function takes `n ... c`.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: Any = np.float32
    channels_first: bool = False


def to_onnx(
    function: Callable[..., Any],
    inputs: Sequence[Input],
    outputs: Sequence[str],
    *,
    half_weights: bool = False,
) -> onnx.ModelProto:
    """The model that computes what `function` does; the same function gives the same bytes.

    Args:
        function: takes one array per input; returns an array or a tree of arrays.
        inputs: names and shapes of the arguments.
        outputs: a name for each array returned, in the order of `jax.tree.leaves`.
        half_weights: store float32 constants of 256 elements or more as float16, with a node that
            widens them, where that loses nothing. Round the weights to float16 beforehand: a
            constant computed from several of them usually needs float32 and stays so.

    Returns:
        A model for onnxruntime 1.20 or later (opset 18), past onnx's checker and shape inference.

    Raises:
        InputError: names that repeat, or not one name per output.
        ExportError: the function uses a primitive, dtype or size that has no translation, or its
            weights exceed 2 GB.
    """
    names = [*(item.name for item in inputs), *outputs]
    if len(set(names)) < len(names):
        raise InputError(f"inputs and outputs: expected different names, got {', '.join(names)}")
    shapes = _symbolic_shapes(inputs)
    arguments = [
        jax.ShapeDtypeStruct(shape, item.dtype) for item, shape in zip(inputs, shapes, strict=True)
    ]
    traced = jax.make_jaxpr(function)(*arguments)
    if len(traced.out_avals) != len(outputs):
        raise InputError(
            f"outputs: the function returns {len(traced.out_avals)} arrays, got {len(outputs)} names"
        )
    graph = Graph(names)
    values = [_entrance(graph, item, shape) for item, shape in zip(inputs, shapes, strict=True)]
    results = _translate(graph, traced.jaxpr, traced.consts, values)
    whole = [
        graph.expand(value, aval.shape)
        for value, aval in zip(results, traced.out_avals, strict=True)
    ]
    first = ",".join(item.name for item in inputs if item.channels_first)
    notes = {CHANNELS_FIRST: first} if first else {}
    return graph.model(dict(zip(outputs, whole, strict=True)), half_weights, notes)


def write_onnx(path: str | os.PathLike[str], model: onnx.ModelProto) -> Path:
    """Writes a model; nothing half-written is ever seen under its name.

    Raises:
        OutputError: the folder is missing or read-only, or the disk is full.
    """
    content = model.SerializeToString(deterministic=True)
    return write_atomically(path, lambda file: file.write(content))


def verify(
    model: onnx.ModelProto, function: Callable[..., Any], samples: Sequence[Sequence[Any]]
) -> float:
    """Largest absolute difference of any output; arguments and errors as `output_differences`.

    Returns:
        The difference; NaN where one of the two has NaN.
    """
    return float(np.max(list(output_differences(model, function, samples).values())))


def output_differences(
    model: onnx.ModelProto, function: Callable[..., Any], samples: Sequence[Sequence[Any]]
) -> dict[str, float]:
    """Largest absolute difference between the model under onnxruntime and the function under JAX.

    Args:
        model: from `to_onnx`.
        function: what it was made from.
        samples: lists of arguments, in the function's own layout; vary the symbolic sizes.

    Returns:
        {output: difference}; NaN where one of the two has NaN.

    Raises:
        InputError: no samples, or not one argument per input.
        ExportError: an output's shape differs.
    """
    import onnxruntime

    if not samples:
        raise InputError("samples: expected one or more lists of arguments, got none")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    compiled = jax.jit(function)
    names = [output.name for output in session.get_outputs()]
    rows = []
    for sample in samples:
        # Accelerators multiply in fewer digits unless told otherwise.
        with jax.default_matmul_precision("highest"):
            expected = jax.tree.leaves(compiled(*sample))
        found = session.run(None, _feeds(model, sample))
        triples = zip(names, expected, found, strict=True)
        rows.append([largest(ours, theirs, f"output {name}") for name, ours, theirs in triples])
    return dict(zip(names, np.max(rows, axis=0).tolist(), strict=True))


def _symbolic_shapes(inputs: Sequence[Input]) -> list[tuple[Any, ...]]:
    """Shapes with the words replaced by symbols of one scope."""
    words = dict.fromkeys(size for item in inputs for size in item.shape if isinstance(size, str))
    symbols: dict[Any, Any] = dict(
        zip(words, jax.export.symbolic_shape(",".join(words)) if words else (), strict=True)
    )
    return [tuple(symbols.get(size, size) for size in item.shape) for item in inputs]


def _entrance(graph: Graph, item: Input, shape: tuple[Any, ...]) -> Value:
    """A graph input in the function's layout."""
    dtype = np.dtype(item.dtype)
    if not item.channels_first:
        return graph.input(item.name, shape, dtype)
    tensor = graph.input(item.name, (shape[0], shape[-1], *shape[1:-1]), dtype)
    return graph.transpose(tensor, (0, *range(2, len(shape)), 1))


def _translate(
    graph: Graph, jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Value]
) -> list[Value]:
    """Values of a jaxpr's outputs, given those of its inputs."""
    known: dict[Any, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
    known |= dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))

    def read(variable: Any) -> Value:
        if isinstance(variable, Literal):
            return np.asarray(variable.val, dtype_of(variable))
        return known[variable]

    for equation in jaxpr.eqns:
        results = _equation(graph, equation, [read(variable) for variable in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _equation(graph: Graph, equation: JaxprEqn, values: Sequence[Value]) -> Sequence[Value]:
    """Values of an equation's outputs."""
    name, params = equation.primitive.name, equation.params
    if name in CALLS:
        return _call(graph, params[CALLS[name]], values)
    if name == "platform_index":
        return [_default_branch(equation)]
    if name == "cond":
        return _call(graph, _branch(equation, values[0]), values[1:])
    if name in LAZY:
        return _several(LAZY[name](graph, equation, *values))
    if name in POINTWISE:
        folded = _fold(equation, values, np.broadcast_arrays)
        return folded or _several(POINTWISE[name](graph, equation, *values))
    values = [
        graph.expand(value, shape_of(variable))
        for value, variable in zip(values, equation.invars, strict=True)
    ]
    if name not in NOT_FOLDED and (folded := _fold(equation, values, lambda *arrays: arrays)):
        return folded
    if name not in WHOLE:
        raise unsupported(equation, "has no translation")
    return _several(WHOLE[name](graph, equation, *values))


def _several(result: Value | Sequence[Value]) -> Sequence[Value]:
    return list(result) if isinstance(result, list | tuple) else [result]  # type: ignore[list-item]


def _call(graph: Graph, inner: Jaxpr | ClosedJaxpr, values: Sequence[Value]) -> Sequence[Value]:
    """A called function, inlined."""
    if isinstance(inner, ClosedJaxpr):
        return _translate(graph, inner.jaxpr, inner.consts, values)
    return _translate(graph, inner, (), values)


def _default_branch(equation: JaxprEqn) -> np.ndarray:
    """The branch of `lax.platform_dependent` for any platform that has none of its own."""
    platforms = equation.params["platforms"]
    if None not in platforms:
        raise unsupported(equation, "there is no branch for other platforms")
    return np.asarray(platforms.index(None), np.int32)


def _branch(equation: JaxprEqn, index: Value) -> ClosedJaxpr:
    branches = equation.params["branches"]
    if not isinstance(index, np.ndarray):
        raise unsupported(equation, "only a choice that is known beforehand is written")
    return branches[min(max(int(index), 0), len(branches) - 1)]


def _fold(
    equation: JaxprEqn, values: Sequence[Value], align: Callable[..., Sequence[np.ndarray]]
) -> list[Value]:
    """An equation on constants, computed now; nothing where it is not one."""
    sizes = [size for variable in equation.outvars for size in shape_of(variable)]
    if not all(isinstance(value, np.ndarray) for value in values):
        return []
    if (
        not all(isinstance(size, int) for size in sizes)
        and equation.primitive.name not in POINTWISE
    ):
        return []
    arrays = [jnp.asarray(array) for array in align(*values)]
    results = equation.primitive.bind(*arrays, **equation.params)
    several = results if equation.primitive.multiple_results else [results]
    return [np.asarray(result) for result in several]


def _feeds(model: onnx.ModelProto, sample: Sequence[Any]) -> dict[str, np.ndarray]:
    """The arguments of a function as the model's inputs."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    first = notes.get(CHANNELS_FIRST, "").split(",")
    names = [item.name for item in model.graph.input]
    if len(names) != len(sample):
        raise InputError(f"samples: expected {len(names)} arguments, got {len(sample)}")
    arrays = {name: np.asarray(array) for name, array in zip(names, sample, strict=True)}
    return {
        name: np.ascontiguousarray(np.moveaxis(array, -1, 1)) if name in first else array
        for name, array in arrays.items()
    }
