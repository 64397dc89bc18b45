"""Primitives of JAX that move, join, cut or count elements, as ONNX nodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from dynamicid_jax.export.onnx_graph import Graph, Value, int64
from dynamicid_jax.export.onnx_rules import (
    LAZY,
    WHOLE,
    output_dtype,
    output_shape,
    rule,
    shape_of,
    unsupported,
)

UNCHANGED = ("copy", "copy_p", "stop_gradient", "sharding_constraint", "name")


@rule(LAZY, "convert_element_type")
def convert(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """A value in another dtype."""
    return graph.cast(value, output_dtype(equation))


@rule(LAZY, *UNCHANGED)
def unchanged(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """What matters to JAX alone."""
    return value


@rule(LAZY, "optimization_barrier")
def all_unchanged(graph: Graph, equation: JaxprEqn, *values: Value) -> Sequence[Value]:
    """The same for several."""
    return values


@rule(LAZY, "broadcast_in_dim")
def broadcast_in_dim(graph: Graph, equation: JaxprEqn, value: Value, *sizes: Value) -> Value:
    """Puts axes in their new places; the new ones keep size 1 until somebody needs more."""
    if value.ndim == 0:
        return value
    shape: list[Any] = [1] * len(equation.params["shape"])
    for axis, size in zip(equation.params["broadcast_dimensions"], value.shape, strict=True):
        shape[axis] = size
    return graph.reshape(value, tuple(shape))


@rule(LAZY, "iota")
def iota(graph: Graph, equation: JaxprEqn, *sizes: Value) -> Value:
    """Counts along one axis."""
    shape, axis = equation.params["shape"], equation.params["dimension"]
    if not isinstance(shape[axis], int):
        raise unsupported(equation, "counting along a symbolic axis is not written")
    counts = np.arange(shape[axis]).astype(output_dtype(equation))
    return counts.reshape([-1 if k == axis else 1 for k in range(len(shape))])


@rule(LAZY, "dim_as_value")
def dim_as_value(graph: Graph, equation: JaxprEqn) -> Value:
    """A symbolic size as a number."""
    size = graph.extent((equation.params["dim"],))
    return graph.cast(graph.reshape(size, ()), output_dtype(equation))


@rule(LAZY, "squeeze")
def squeeze(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Drops axes of size 1."""
    if value.ndim == 0:
        return value
    gone = {axis % value.ndim for axis in equation.params["dimensions"]}
    return graph.reshape(value, tuple(s for k, s in enumerate(value.shape) if k not in gone))


@rule(LAZY, "transpose")
def transpose(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Axes in another order."""
    return graph.transpose(value, equation.params["permutation"])


@rule(WHOLE, "reshape")
def reshape(graph: Graph, equation: JaxprEqn, value: Value, *sizes: Value) -> Value:
    """The same elements in another shape."""
    return graph.reshape(value, output_shape(equation))


@rule(WHOLE, "concatenate")
def concatenate(graph: Graph, equation: JaxprEqn, *values: Value) -> Value:
    """Values side by side along an axis."""
    axis = equation.params["dimension"]
    return graph.emit("Concat", values, output_shape(equation), values[0].dtype, axis=axis)


@rule(WHOLE, "stack")
def stack(graph: Graph, equation: JaxprEqn, *values: Value) -> Value:
    """Values side by side along a new axis."""
    axis = equation.params["axis"]
    parts = [graph.reshape(v, (*v.shape[:axis], 1, *v.shape[axis:])) for v in values]
    return graph.emit("Concat", parts, output_shape(equation), values[0].dtype, axis=axis)


@rule(WHOLE, "split")
def split(graph: Graph, equation: JaxprEqn, value: Value) -> Sequence[Value]:
    """Consecutive parts along an axis."""
    shapes = [shape_of(variable) for variable in equation.outvars]
    sizes = graph.extent(tuple(_plain(size) for size in equation.params["sizes"]))
    axis = equation.params["axis"]
    return graph.emit_many("Split", [value, sizes], shapes, value.dtype, axis=axis)


@rule(WHOLE, "tile")
def tile(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Copies side by side."""
    times = graph.extent(tuple(_plain(count) for count in equation.params["reps"]))
    return graph.emit("Tile", [value, times], output_shape(equation), value.dtype)


@rule(WHOLE, "pad")
def pad(graph: Graph, equation: JaxprEqn, value: Value, filler: Value) -> Value:
    """A constant around an array; a negative amount cuts off."""
    low, high, between = zip(*equation.params["padding_config"], strict=True)
    if any(between):
        raise unsupported(equation, "padding between elements is not written")
    return graph.emit(
        "Pad", [value, int64((*low, *high)), filler], output_shape(equation), value.dtype
    )


@rule(WHOLE, "slice")
def strided_slice(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """A box, with steps."""
    params = equation.params
    start, stop = params["start_indices"], params["limit_indices"]
    step = params["strides"] or [1] * value.ndim
    axes = [
        axis
        for axis, size in enumerate(value.shape)
        if (start[axis], stop[axis], step[axis]) != (0, size, 1)
    ]
    if not axes:
        return value
    bounds = [graph.extent(tuple(_plain(side[axis]) for axis in axes)) for side in (start, stop)]
    steps = int64([step[axis] for axis in axes])
    return graph.emit(
        "Slice", [value, *bounds, int64(axes), steps], output_shape(equation), value.dtype
    )


@rule(WHOLE, "rev")
def reverse(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Axes read backwards."""
    axes = equation.params["dimensions"]
    start, stop, step = ([k] * len(axes) for k in (-1, np.iinfo(np.int64).min, -1))
    bounds = [int64(side) for side in (start, stop, axes, step)]
    return graph.emit("Slice", [value, *bounds], output_shape(equation), value.dtype)


@rule(WHOLE, "dynamic_slice")
def dynamic_slice(graph: Graph, equation: JaxprEqn, value: Value, *starts: Value) -> Value:
    """A box at a constant place."""
    if not all(isinstance(start, np.ndarray) for start in starts):
        raise unsupported(equation, "only constant positions are written")
    places = {
        axis: int(start) for axis, start in enumerate(starts) if isinstance(start, np.ndarray)
    }
    return _box(graph, value, places, equation.params["slice_sizes"])


@rule(WHOLE, "gather")
def gather(graph: Graph, equation: JaxprEqn, value: Value, indices: Value) -> Value:
    """A box at a constant place, then constant positions along one of its axes."""
    params = equation.params
    numbers, sizes = params["dimension_numbers"], list(params["slice_sizes"])
    gone, batch = numbers.collapsed_slice_dims, indices.shape[:-1]
    if not isinstance(indices, np.ndarray) or not indices.size or numbers.operand_batching_dims:
        raise unsupported(equation, "only constant positions are written")
    places = {axis: indices[..., k] for k, axis in enumerate(numbers.start_index_map)}
    box = {
        axis: int(place.flat[0]) for axis, place in places.items() if (place == place.flat[0]).all()
    }
    moving = [axis for axis in places if axis not in box]
    if batch and not moving:  # every position is the same
        moving = list(gone[:1])
    first = len([axis for axis in range(value.ndim) if axis not in gone and [axis] < moving])
    offsets = [k for k in range(len(output_shape(equation))) if not first <= k < first + len(batch)]
    one = len(moving) == bool(batch) and set(moving) <= set(gone)
    if not one or list(numbers.offset_dims) != offsets:
        raise unsupported(equation, "only positions along one axis are written")
    for axis in moving:
        box.pop(axis, None)
        sizes[axis] = value.shape[axis]
    for axis, start in box.items():
        if isinstance(value.shape[axis], int):
            _inside(equation, np.asarray([start, start + sizes[axis] - 1]), value.shape[axis])
    value = _box(graph, value, box, sizes)
    for axis in moving:
        positions = _inside(equation, places[axis], value.shape[axis])
        shape = (*value.shape[:axis], *batch, *value.shape[axis + 1 :])
        value = graph.emit("Gather", [value, positions], shape, value.dtype, axis=axis)
    return graph.reshape(value, output_shape(equation))


def _inside(equation: JaxprEqn, positions: np.ndarray, size: Any) -> np.ndarray:
    """Positions that exist: JAX clips or fills beyond the end where ONNX fails."""
    if isinstance(size, int) and (positions.min() < 0 or positions.max() >= size):
        raise unsupported(equation, f"position beyond an axis of size {size}")
    return positions.astype(np.int64)


def _box(graph: Graph, value: Value, places: dict[int, int], sizes: Sequence[Any]) -> Value:
    """`sizes` elements from `places` (0 on other axes), moved inside as JAX does."""
    starts = [places.get(axis, 0) for axis in range(value.ndim)]
    for axis, (full, size) in enumerate(zip(value.shape, sizes, strict=True)):
        if isinstance(full, int):
            starts[axis] = min(max(starts[axis], 0), full - size)
    axes = [k for k in range(value.ndim) if value.shape[k] != sizes[k]]
    if not axes:
        return value
    ends = graph.extent(tuple(_plain(starts[k] + sizes[k]) for k in axes))
    inputs = [value, int64([starts[k] for k in axes]), ends, int64(axes)]
    return graph.emit("Slice", inputs, tuple(sizes), value.dtype)


def _plain(size: Any) -> Any:
    """NumPy integers, as some parameters have them, as Python's."""
    return int(size) if isinstance(size, np.integer) else size
