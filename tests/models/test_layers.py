"""Layers against the plain definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.models.layers import SMALL_MAP, GroupNorm, conv3x3, upsample_nearest


@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 1), (0, 1))])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [2, 8, 16, 17])
def test_convolution_is_the_same_on_small_and_large_maps(side: int, stride: int, padding) -> None:
    x = jax.random.normal(jax.random.key(0), (2, side, side, 8))
    layer = conv3x3(5, jnp.float32, stride=stride, padding=padding)
    params = layer.init(jax.random.key(1), x)
    weights = params["params"]
    expected = jax.lax.conv_general_dilated(
        x, weights["kernel"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer.apply(params, x), expected, atol=2e-6)
    assert (side * side <= SMALL_MAP) == (side < 17)


def test_group_norm_gives_zero_mean_and_unit_variance_per_group_and_sample() -> None:
    x = jax.random.normal(jax.random.key(0), (3, 6, 5, 12)) * 4 + 10
    norm = GroupNorm(groups=4, epsilon=1e-6)
    out = norm.apply(norm.init(jax.random.key(1), x), x)
    per_group = np.asarray(out).reshape(3, 30, 4, 3).transpose(0, 2, 1, 3).reshape(12, -1)
    np.testing.assert_allclose(per_group.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(per_group.var(1), 1, atol=1e-3)


def test_upsampling_repeats_every_cell() -> None:
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    expected = np.repeat(np.repeat(np.asarray(x), 2, axis=1), 2, axis=2)
    assert (upsample_nearest(x) == expected).all()
