"""Every way to convolve gives the definition, at every size at which the ways change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.models.convolution import WIDE
from dynamicid_jax.models.layers import conv3x3

AROUND = ((1, 1), (1, 1))


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def define(x: jax.Array, kernel: jax.Array) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), AROUND, dimension_numbers=numbers)


def check(x: jax.Array, channels: int, stride: int, padding) -> None:
    layer = conv3x3(channels, jnp.float32, stride=stride, padding=padding)
    variables = layer.init(jax.random.key(1), x)
    weights = variables["params"]
    expected = jax.lax.conv_general_dilated(
        x, weights["kernel"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize("padding", [AROUND, ((0, 1), (0, 1))])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 7, 16, 17])
def test_small_maps(side: int, stride: int, padding) -> None:
    check(draw(2, side, side, 8), 5, stride, padding)


@pytest.mark.parametrize(("height", "width"), [(18, 16), (32, 34), (18, 15)])
@pytest.mark.parametrize("channels", [WIDE - 1, WIDE])
def test_wide_maps(height: int, width: int, channels: int) -> None:
    check(draw(2, height, width, WIDE), channels, 1, AROUND)
    check(draw(1, height, width, WIDE), channels, 2, AROUND)


def test_gradients_are_those_of_the_definition() -> None:
    x, kernel = draw(1, 18, 18, WIDE), draw(3, 3, WIDE, WIDE, seed=1) / 30
    layer = conv3x3(WIDE, jnp.float32)
    bias = jnp.zeros(WIDE)

    def ours(x, kernel):
        return (layer.apply({"params": {"kernel": kernel, "bias": bias}}, x) ** 2).sum()

    def defined(x, kernel):
        return (define(x, kernel) ** 2).sum()

    for one, other in zip(
        jax.grad(ours, (0, 1))(x, kernel), jax.grad(defined, (0, 1))(x, kernel), strict=True
    ):
        scale = float(jnp.abs(other).max())
        np.testing.assert_allclose(one / scale, other / scale, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 4), (16, 16), (64, 66)])
@pytest.mark.parametrize("channels", [WIDE - 1, WIDE])
def test_doubling_is_repeating_cells_then_convolving(
    height: int, width: int, channels: int
) -> None:
    x = draw(2, height, width, WIDE)
    layer = conv3x3(channels, jnp.float32, doubles=True)
    variables = layer.init(jax.random.key(1), x)
    doubled = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
    expected = define(doubled, variables["params"]["kernel"])
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), expected, atol=2e-5)


@pytest.mark.parametrize("doubles", [False, True])
def test_many_requests_share_the_transformed_kernels(doubles: bool) -> None:
    layer, kernel = conv3x3(WIDE, jnp.float32, doubles=doubles), draw(3, 3, WIDE, WIDE, seed=1) / 30

    def convolve(x):
        return layer.apply({"params": {"kernel": kernel, "bias": jnp.zeros(WIDE)}}, x)

    requests = draw(5, 1, 18, 18, WIDE)
    text = jax.jit(jax.vmap(convolve)).lower(requests).compile().as_text()
    assert f"[5,{WIDE},{WIDE}]" not in text
    np.testing.assert_allclose(
        jax.vmap(convolve)(requests), convolve(requests[:, 0])[:, None], atol=1e-5
    )


@pytest.mark.parametrize("doubles", [False, True])
def test_one_bad_cell_spoils_its_neighbours_only(doubles: bool) -> None:
    layer, kernel = conv3x3(WIDE, jnp.float32, doubles=doubles), draw(3, 3, WIDE, WIDE, seed=1)
    x = draw(2, 18, 18, WIDE).at[0, 0, 0, 0].set(jnp.nan)
    out = layer.apply({"params": {"kernel": kernel, "bias": jnp.zeros(WIDE)}}, x)
    assert jnp.isfinite(out[1]).all()
    assert jnp.isfinite(out[0, 5:]).all()
    assert not jnp.isfinite(out[0, 0, 0]).all()
