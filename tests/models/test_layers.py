"""Layers against the plain definitions."""

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.models.convolution import upsample_nearest
from dynamicid_jax.models.layers import GroupNorm


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
