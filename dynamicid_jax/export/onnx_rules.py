"""How a primitive of JAX becomes ONNX nodes: three tables of translators by its name.

What the translators of each may rely on:

    POINTWISE   operands may be smaller than they stand for (see onnx_graph); not all are constants
    LAZY        the same, but constants come here too
    WHOLE       operands have all their elements; not all are constants

A translator takes the graph, the equation (parameters and shapes) and the operands' values. They are
entered by onnx_pointwise.py, onnx_shapes.py and onnx_linear.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from dynamicid_jax.errors import ExportError
from dynamicid_jax.export.onnx_graph import Value

Translator = Callable[..., Value | Sequence[Value]]
POINTWISE: dict[str, Translator] = {}
LAZY: dict[str, Translator] = {}
WHOLE: dict[str, Translator] = {}


def rule(table: dict[str, Translator], *names: str) -> Callable[[Translator], Translator]:
    """Enters a translator into a table under each primitive's name."""

    def enter(translator: Translator) -> Translator:
        table.update(dict.fromkeys(names, translator))
        return translator

    return enter


def shape_of(variable: Any) -> tuple[Any, ...]:
    """Shape of a jaxpr's variable or literal."""
    return tuple(variable.aval.shape)


def dtype_of(variable: Any) -> np.dtype:
    """Its dtype."""
    return np.dtype(variable.aval.dtype)


def output_shape(equation: JaxprEqn) -> tuple[Any, ...]:
    """Shape of an equation's first output."""
    return shape_of(equation.outvars[0])


def output_dtype(equation: JaxprEqn) -> np.dtype:
    """Dtype of an equation's first output."""
    return dtype_of(equation.outvars[0])


def unsupported(equation: JaxprEqn, reason: str) -> ExportError:
    """The error for a primitive, or a use of it, that has no translation."""
    shapes = ", ".join(str(variable.aval) for variable in (*equation.invars, *equation.outvars))
    return ExportError(
        f"primitive {equation.primitive.name}: {reason} ({shapes}); write the function without it, "
        "or add a translator beside dynamicid_jax/export/onnx_rules.py"
    )
