"""Convolutions, matrix products, reductions and pooling of JAX as ONNX nodes.

ONNX keeps channels first and kernels as OIHW. The transpositions that this needs cost nothing for
constant kernels (done at write time); between maps, onnxruntime moves and cancels them.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from dynamicid_jax.export.onnx_graph import Graph, Value, int64
from dynamicid_jax.export.onnx_rules import WHOLE, output_dtype, output_shape, rule, unsupported

REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
}


@rule(WHOLE, *REDUCTIONS)
def reduce(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Sum, largest, smallest or product along axes."""
    axes = equation.params["axes"]
    if not axes:  # to ONNX, no axes are all axes
        return value
    op = REDUCTIONS[equation.primitive.name]
    return graph.emit(op, [value, int64(axes)], output_shape(equation), value.dtype, keepdims=0)


@rule(WHOLE, "conv_general_dilated")
def convolution(graph: Graph, equation: JaxprEqn, image: Value, kernel: Value) -> Value:
    """Any number of spatial axes, in any layout; strides, dilated kernels, groups."""
    params, shape, dtype = equation.params, output_shape(equation), output_dtype(equation)
    layout = params["dimension_numbers"]
    if params["batch_group_count"] != 1 or any(d != 1 for d in params["lhs_dilation"]):
        raise unsupported(equation, "transposed and batch-grouped convolutions are not written")
    image = graph.transpose(graph.cast(image, dtype), layout.lhs_spec)
    kernel = graph.transpose(graph.cast(kernel, dtype), layout.rhs_spec)
    before, after = zip(*params["padding"], strict=True)
    result = graph.emit(
        "Conv",
        [image, kernel],
        tuple(shape[axis] for axis in layout.out_spec),
        dtype,
        strides=_ints(params["window_strides"]),
        pads=_ints((*before, *after)),
        dilations=_ints(params["rhs_dilation"]),
        group=int(params["feature_group_count"]),
    )
    return graph.transpose(result, _inverse(layout.out_spec))


@rule(WHOLE, "dot_general")
def dot_general(graph: Graph, equation: JaxprEqn, left: Value, right: Value) -> Value:
    """A MatMul of [batch, free, contracted] by [batch, contracted, free], axes of a kind joined.

    Without batch axes (a dense layer) the left side keeps its free axes apart: no reshaping.
    """
    dtype = output_dtype(equation)
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left_free = _others(left, (*left_sum, *left_batch))
    right_free = _others(right, (*right_sum, *right_batch))
    batch = _sizes(left, left_batch)
    inner, columns = math.prod(_sizes(left, left_sum)), math.prod(_sizes(right, right_free))
    rows = _sizes(left, left_free)
    if batch:
        rows = (math.prod(rows),)
    left = graph.transpose(graph.cast(left, dtype), (*left_batch, *left_free, *left_sum))
    right = graph.transpose(graph.cast(right, dtype), (*right_batch, *right_sum, *right_free))
    left = graph.reshape(left, (*batch, *rows, inner))
    right = graph.reshape(right, (*batch, inner, columns))
    shape = (*batch, *rows, columns)
    return graph.reshape(graph.emit("MatMul", [left, right], shape, dtype), output_shape(equation))


@rule(WHOLE, "reduce_window_max", "reduce_window_sum")
def pool(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Max and sum over windows of a `b h w c` map."""
    params, shape = equation.params, output_shape(equation)
    window, strides = params["window_dimensions"], params["window_strides"]
    padding, dilation = params["padding"], params["window_dilation"]
    outer = [(window[k], strides[k], tuple(padding[k])) for k in (0, -1)]
    if len(shape) != 4 or any(side != (1, 1, (0, 0)) for side in outer):
        raise unsupported(equation, "only windows over height and width of `b h w c` are written")
    if any(d != 1 for d in (*params["base_dilation"], *dilation)):
        raise unsupported(equation, "dilated windows are not written")
    before, after = zip(*padding[1:3], strict=True)
    options = {
        "kernel_shape": _ints(window[1:3]),
        "strides": _ints(strides[1:3]),
        "pads": _ints((*before, *after)),
    }
    image = graph.transpose(value, (0, 3, 1, 2))
    first = tuple(shape[axis] for axis in (0, 3, 1, 2))
    result: Value
    if equation.primitive.name == "reduce_window_max":
        result = graph.emit("MaxPool", [image], first, value.dtype, **options)
    else:
        mean = graph.emit(
            "AveragePool", [image], first, value.dtype, count_include_pad=1, **options
        )
        result = graph.pointwise("Mul", mean, np.asarray(math.prod(window), value.dtype))
    return graph.transpose(result, (0, 2, 3, 1))


def _ints(values: Sequence[Any]) -> list[int]:
    return [int(value) for value in values]


def _inverse(order: Sequence[int]) -> list[int]:
    return [int(axis) for axis in np.argsort(order)]


def _others(value: Value, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis for axis in range(value.ndim) if axis not in axes)


def _sizes(value: Value, axes: Sequence[int]) -> tuple[Any, ...]:
    return tuple(value.shape[axis] for axis in axes)
