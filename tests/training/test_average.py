"""The averaged weights: soon free of the untrained ones, later as slow as asked."""

import jax.numpy as jnp
import pytest

from dynamicid_jax.training.step import _averaged


def test_untrained_weights_are_soon_gone():
    average = {"w": jnp.float32(0.0)}  # the untrained one; every trained one is 1
    for update in range(100):
        average = _averaged(average, {"w": jnp.float32(1.0)}, 0.999, jnp.int32(update))
    assert float(average["w"]) > 1 - 1e-6


def test_later_it_keeps_its_own_share():
    average = {"w": jnp.float32(2.0)}
    after = _averaged(average, {"w": jnp.float32(4.0)}, 0.9, jnp.int32(10_000))
    assert float(after["w"]) == pytest.approx(0.9 * 2 + 0.1 * 4)
    assert _averaged(None, average, 0.9, jnp.int32(3)) is None
