"""Exact arithmetic of a function, counted from its jaxpr: no arrays, no compiler.

One multiply-add is 2 operations. Only matrix products and convolutions count; everything else (norms, softmax,
activations) is under 1 % of a UNet.

    dot    2 * batch * rows * columns * contracted
    conv   2 * (batch * features of the output) * (input features per group)
             * product over spatial axes of the (output cell, kernel cell) pairs

A pair counts where the kernel cell lies on a cell of the input or on its padding: so count tables of model sizes, and
so works hardware. `padding=False` leaves the padding out, as XLA's own cost analysis does. The holes of a dilation
never count: the transpose of a strided convolution does exactly the strided one's arithmetic.

What programs are made of:

    jit, remat, custom_jvp, custom_vjp, closed calls   their body, once; what a remat computes again is counted again
    scan                                               its body times its length (`loops=False`: once, as XLA's own
                                                       cost analysis counts)
    cond                                               its largest branch; of `lax.platform_dependent`, the branch of
                                                       the platform asked for
    while                                              its body ONCE: the number of rounds is not in the jaxpr (a
                                                       `fori_loop` of fixed length under a gradient is a scan)
    shard_map                                          its body times the devices of its mesh

Values that nobody reads are not counted: compilers drop them as well.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

Counts = dict[str, int]


def count_flops(
    fn: Callable[..., Any],
    *args: Any,
    platform: str = "tpu",
    padding: bool = True,
    loops: bool = True,
) -> Counts:
    """Operations of `fn` on arguments given as shapes (or arrays): {"dot", "conv", "total"}.

    Args:
        fn: any traceable function; a gradient, a jitted step.
        args: `jax.ShapeDtypeStruct`s or arrays.
        platform: whose branch of `lax.platform_dependent` counts.
        padding: whether products with a convolution's padding count.
        loops: whether the body of a loop of known length counts as often as it runs.
    """
    return count_jaxpr(jax.make_jaxpr(fn)(*args), platform, padding, loops)


def count_jaxpr(
    closed: core.ClosedJaxpr, platform: str = "tpu", padding: bool = True, loops: bool = True
) -> Counts:
    """The same of a function that was traced already."""
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    counts = _count(jaxpr, platform, padding, loops)
    return {"dot": counts["dot"], "conv": counts["conv"], "total": counts.total()}


def _count(jaxpr: core.Jaxpr, platform: str, padding: bool, loops: bool) -> Counter[str]:
    """One jaxpr, with everything in it."""
    counts: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            counts["dot"] += dot_flops(equation)
        elif name == "conv_general_dilated":
            counts["conv"] += conv_flops(equation, padding)
        elif name == "cond":
            counts += _cond(equation, platform, padding, loops)
        else:
            times = _repeats(equation, loops)
            for inner in _bodies(equation.params):
                for kind, number in _count(inner, platform, padding, loops).items():
                    counts[kind] += times * number
    return counts


def _cond(equation: core.JaxprEqn, platform: str, padding: bool, loops: bool) -> Counter[str]:
    """The platform's branch, or the largest one."""
    branches = [branch.jaxpr for branch in equation.params["branches"]]
    platforms = equation.params.get("branches_platforms")
    if platforms is not None:
        fits = [names is None or platform in names for names in platforms]
        return _count(branches[fits.index(True)], platform, padding, loops)
    return max((_count(branch, platform, padding, loops) for branch in branches), key=Counter.total)


def _repeats(equation: core.JaxprEqn, loops: bool) -> int:
    """How often an equation's body counts."""
    if equation.primitive.name == "scan" and loops:
        return equation.params["length"]
    if equation.primitive.name == "shard_map":
        return equation.params["mesh"].size
    return 1


def _bodies(values: Any) -> Iterator[core.Jaxpr]:
    """Jaxprs among an equation's parameters."""
    if isinstance(values, core.ClosedJaxpr):
        yield values.jaxpr
    elif isinstance(values, core.Jaxpr):
        yield values
    elif isinstance(values, dict | tuple | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _bodies(value)


def dot_flops(equation: core.JaxprEqn) -> int:
    """Every output element is a sum over the contracted axes."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = _shape(equation.invars[0])
    inner = math.prod(left[axis] for axis in contracted)
    return 2 * math.prod(_shape(equation.outvars[0])) * inner


def conv_flops(equation: core.JaxprEqn, padding: bool = False) -> int:
    """The formula at the top of the file."""
    params = equation.params
    numbers = params["dimension_numbers"]
    left, right = (_shape(variable) for variable in equation.invars)
    out = _shape(equation.outvars[0])
    outer = out[numbers.out_spec[0]] * out[numbers.out_spec[1]]
    pairs = 1
    for axis, edges in enumerate(params["padding"]):
        pairs *= _pairs(
            left[numbers.lhs_spec[2 + axis]],
            right[numbers.rhs_spec[2 + axis]],
            out[numbers.out_spec[2 + axis]],
            (params["window_strides"][axis], *_dilations(params, axis)),
            edges,
            padding,
        )
    return 2 * outer * right[numbers.rhs_spec[1]] * pairs


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _dilations(params: dict[str, Any], axis: int) -> tuple[int, int]:
    return params["lhs_dilation"][axis], params["rhs_dilation"][axis]


def _pairs(
    cells: int,
    kernel: int,
    out: int,
    steps: tuple[int, int, int],
    edges: Sequence[int],
    padding: bool,
) -> int:
    """(output cell, kernel cell) pairs along one axis that meet a cell of the input (or of its padding)."""
    stride, spread, reach = steps
    count = 0
    for tap in range(kernel):
        for position in range(out):
            at = position * stride + tap * reach - edges[0]
            inside = 0 <= at <= (cells - 1) * spread
            count += at % spread == 0 and (inside or padding)
    return count
