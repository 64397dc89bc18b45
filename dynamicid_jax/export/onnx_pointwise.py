"""Elementwise primitives of JAX as ONNX nodes."""

import numpy as np
from jax.extend.core import JaxprEqn

from dynamicid_jax.export.onnx_graph import Graph, Value
from dynamicid_jax.export.onnx_rules import POINTWISE, output_dtype, rule, unsupported

SAME_OP = {
    "add": "Add",
    "add_any": "Add",
    "mul": "Mul",
    "div": "Div",
    "min": "Min",
    "pow": "Pow",
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "tanh": "Tanh",
    "erf": "Erf",
    "logistic": "Sigmoid",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "and": "And",
    "or": "Or",
    "xor": "Xor",
    "not": "Not",
}
LOGICAL = ("And", "Or", "Xor", "Not")


@rule(POINTWISE, *SAME_OP)
def same_op(graph: Graph, equation: JaxprEqn, *values: Value) -> Value:
    """One node that means the same."""
    op = SAME_OP[equation.primitive.name]
    if op in LOGICAL and values[0].dtype != np.bool_:
        raise unsupported(equation, "bitwise operations on integers are not written")
    return graph.pointwise(op, *values, dtype=output_dtype(equation))


@rule(POINTWISE, "max")
def largest(graph: Graph, equation: JaxprEqn, left: Value, right: Value) -> Value:
    """Relu where it is one: onnxruntime joins that to the convolution before it."""
    for value, bound in ((left, right), (right, left)):
        if isinstance(bound, np.ndarray) and bound.dtype == np.float32 and not bound.any():
            return graph.pointwise("Relu", value)
    return graph.pointwise("Max", left, right)


@rule(POINTWISE, "sub")
def difference(graph: Graph, equation: JaxprEqn, left: Value, right: Value) -> Value:
    """The sum with a negated constant: the same number, which onnxruntime joins to a convolution."""
    if isinstance(right, np.ndarray) and right.dtype.kind == "f":
        return graph.pointwise("Add", left, np.asarray(-right))
    return graph.pointwise("Sub", left, right)


@rule(POINTWISE, "square", "integer_pow")
def power(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """x**k."""
    exponent = equation.params.get("y", 2)
    if exponent == 2:
        return graph.pointwise("Mul", value, value)
    return graph.pointwise("Pow", value, np.asarray(exponent, value.dtype))


@rule(POINTWISE, "rsqrt")
def rsqrt(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """1 / sqrt(x)."""
    return graph.pointwise("Reciprocal", graph.pointwise("Sqrt", value))


@rule(POINTWISE, "erfc")
def erfc(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """1 - erf(x): right to 1e-7 absolute, which is what GELU needs; the far tail has no relative precision."""
    return graph.pointwise("Sub", np.ones((), value.dtype), graph.pointwise("Erf", value))


@rule(POINTWISE, "log1p")
def log1p(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """log(1 + x), to 1e-7 absolute."""
    return graph.pointwise("Log", graph.pointwise("Add", value, np.ones((), value.dtype)))


@rule(POINTWISE, "expm1")
def expm1(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """exp(x) - 1, to 1e-7 absolute near zero."""
    return graph.pointwise("Sub", graph.pointwise("Exp", value), np.ones((), value.dtype))


@rule(POINTWISE, "ne")
def not_equal(graph: Graph, equation: JaxprEqn, left: Value, right: Value) -> Value:
    """Not equal."""
    return graph.pointwise("Not", graph.pointwise("Equal", left, right, dtype=np.bool_))


@rule(POINTWISE, "is_finite")
def is_finite(graph: Graph, equation: JaxprEqn, value: Value) -> Value:
    """Whether x - x is 0: it is NaN for infinities and NaN."""
    zero = np.zeros((), value.dtype)
    return graph.pointwise("Equal", graph.pointwise("Sub", value, value), zero, dtype=np.bool_)


@rule(POINTWISE, "clamp")
def clamp(graph: Graph, equation: JaxprEqn, low: Value, value: Value, high: Value) -> Value:
    """min(max(x, low), high); the bounds may be arrays, which Clip does not take."""
    return graph.pointwise("Min", graph.pointwise("Max", value, low), high)


@rule(POINTWISE, "select_n")
def select(graph: Graph, equation: JaxprEqn, which: Value, *cases: Value) -> Value:
    """Case 0 where `which` is false, case 1 where it is true."""
    if len(cases) == 1:
        return cases[0]
    if which.dtype != np.bool_:
        raise unsupported(equation, "only two cases by a condition are written")
    if isinstance(which, np.ndarray) and which.size and (which == which.flat[0]).all():
        return cases[int(which.flat[0])]
    return graph.pointwise("Where", which, cases[1], cases[0], dtype=output_dtype(equation))
