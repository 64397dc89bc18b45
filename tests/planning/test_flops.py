"""Counting against closed forms, against the compiler's own count, and against SD1.5's known figures."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from dynamicid_jax.convert.expected import expected_shapes
from dynamicid_jax.flops import count_flops
from dynamicid_jax.models.configs import ModelConfig, UNetConfig
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.trees import nest

Shape = jax.ShapeDtypeStruct
A, B, C = Shape((5, 7), jnp.float32), Shape((7, 11), jnp.float32), Shape((3, 5, 7), jnp.float32)
ONE = 2 * 5 * 7 * 11


def _total(fn: Callable[..., Any], *args: Any, **options: Any) -> int:
    return count_flops(fn, *args, **options)["total"]


def test_products() -> None:
    assert count_flops(jnp.dot, A, B) == {"dot": ONE, "conv": 0, "total": ONE}
    assert _total(lambda c, b: c @ b, C, B) == 3 * ONE
    batched = Shape((3, 7, 11), jnp.float32)
    assert _total(lambda c, b: jnp.einsum("bij,bjk->bik", c, b), C, batched) == 3 * ONE


def test_what_nobody_reads_is_not_counted() -> None:
    assert _total(lambda a, b: (a @ b, a @ b + 1)[1] * 0 + jnp.sum(a), A, B) == ONE
    assert _total(lambda a, b: (a @ b, jnp.sum(a))[1], A, B) == 0


def test_gradients_of_what_trains_only() -> None:
    loss = lambda a, b: jnp.sum(jnp.sin(a @ b))  # noqa: E731
    assert _total(jax.grad(loss, 0), A, B) == 2 * ONE  # forward, and towards a
    assert _total(jax.grad(loss, (0, 1)), A, B) == 3 * ONE


def test_loops_and_calls() -> None:
    square = Shape((4, 4), jnp.float32)
    one = 2 * 4**3

    def loop(x: Any) -> Any:
        return lax.scan(lambda c, _: (c @ x, None), x, None, length=6)[0]

    assert _total(jax.jit(loop), square) == 6 * one
    assert _total(jax.jit(loop), square, loops=False) == one
    assert _total(lambda x: lax.map(loop, jnp.stack([x, x])), square) == 12 * one
    assert _total(lambda x: lax.while_loop(jnp.any, lambda c: c @ c, x), square) == one
    twice = lambda x: jnp.sum(jnp.sin(jnp.sin(x @ x) @ x))  # noqa: E731
    assert _total(jax.value_and_grad(twice), square) == (2 + 4) * one
    assert _total(jax.value_and_grad(jax.checkpoint(twice)), square) == (2 + 2 + 4) * one

    @jax.custom_vjp
    def own(x: Any) -> Any:
        return x @ x

    own.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x @ x,))
    assert _total(own, square) == one
    assert _total(jax.grad(lambda x: own(x).sum()), square) == 2 * one


def test_branches() -> None:
    square = Shape((4, 4), jnp.float32)
    one = 2 * 4**3
    double = lambda x: x @ x @ x  # noqa: E731
    single = lambda x: x @ x  # noqa: E731
    assert _total(lambda x: lax.cond(x.sum() > 0, double, single, x), square) == 2 * one

    def by_platform(x: Any) -> Any:
        return lax.platform_dependent(x, cpu=double, default=single)

    assert _total(by_platform, square) == one
    assert _total(by_platform, square, platform="cpu") == 2 * one
    # Under a gradient the choice travels as a value between jaxprs; here also into a remat in a loop.
    loop = lambda x: lax.scan(lambda c, _: (jax.checkpoint(by_platform)(c), None), x, None, 3)[0]  # noqa: E731
    gradient = jax.grad(lambda x: jnp.sum(loop(x)))
    forward, backward = 3 * one, 3 * 2 * one
    assert forward + backward <= _total(gradient, square) <= 2 * forward + backward
    assert _total(gradient, square, platform="cpu") > _total(gradient, square)


CONVOLUTIONS = [
    {"window_strides": (1, 1), "padding": ((0, 0), (0, 0))},
    {"window_strides": (1, 1), "padding": ((1, 1), (1, 1))},
    {"window_strides": (2, 2), "padding": ((0, 1), (0, 1))},
    {"window_strides": (1, 1), "padding": ((2, 2), (1, 3)), "lhs_dilation": (2, 3)},
    {"window_strides": (2, 1), "padding": ((2, 2), (3, 3)), "rhs_dilation": (2, 3)},
    {"window_strides": (1, 2), "padding": ((1, 1), (1, 1)), "feature_group_count": 2},
    {"window_strides": (1, 1), "padding": ((-1, 1), (1, -2))},
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_convolutions_and_their_gradients_equal_the_compilers_count(options: dict) -> None:
    groups = options.get("feature_group_count", 1)
    x, kernel = Shape((2, 9, 10, 4), jnp.float32), Shape((3, 3, 4 // groups, 6), jnp.float32)

    def convolve(x: Any, kernel: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **options)

    def pull_back(argument: int) -> Callable[..., Any]:
        return lambda x, kernel, g: jax.vjp(convolve, x, kernel)[1](g)[argument]

    out = jax.eval_shape(convolve, x, kernel)
    forward = _total(convolve, x, kernel, padding=False)
    for fn, args in (
        (convolve, (x, kernel)),
        (pull_back(0), (x, kernel, out)),
        (pull_back(1), (x, kernel, out)),
    ):
        counted = _total(fn, *args, padding=False)
        assert counted == forward  # the same pairs of cells, whichever way
        compiled = jax.jit(fn).lower(*args).compile().cost_analysis()["flops"]
        assert counted == pytest.approx(compiled, rel=1e-6, abs=2 * 81 * 24)


def test_convolutions_by_hand() -> None:
    x, kernel = Shape((2, 8, 8, 3), jnp.float32), Shape((3, 3, 3, 5), jnp.float32)

    def same(x: Any, kernel: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

    outer = 2 * 2 * 5 * 3
    assert _total(same, x, kernel) == outer * (8 * 3) ** 2  # with the padding
    assert _total(same, x, kernel, padding=False) == outer * (8 * 3 - 2) ** 2


@pytest.fixture(scope="module")
def sd15() -> dict:
    shapes = expected_shapes(ModelConfig())["unet"]
    return {"params": nest(shapes)}


@pytest.mark.parametrize(("size", "tflop"), [(512, 0.803), (768, 2.148), (1024, 4.674)])
def test_one_forward_of_sd15(sd15: dict, size: int, tflop: float) -> None:
    net, weights = UNet(UNetConfig()), sd15
    inputs = (
        Shape((1, size // 8, size // 8, 4), jnp.float32),
        Shape((1,), jnp.int32),
        Shape((1, 77, 768), jnp.float32),
    )
    counted = count_flops(net.apply, weights, *inputs)["total"] / 1e12
    assert round(counted, 3) == tflop
