"""Pictures and captions: equation (8)."""

import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.diffusion.losses import caption_rows

IDS = jnp.array([[1, 2], [1, 3], [1, 4], [1, 5]])


def test_nothing_known_costs_log_n_and_everything_known_nothing():
    blind = jnp.ones((4, 8))
    rows, _ = caption_rows(blind, blind, IDS, 0.07)
    np.testing.assert_allclose(rows, np.log(4), rtol=1e-5)
    seeing = jnp.eye(4)
    rows, right = caption_rows(3 * seeing, seeing, IDS, 0.01)
    np.testing.assert_allclose(rows, 0, atol=1e-5)
    assert right.tolist() == [1, 1, 1, 1]


def test_equal_captions_share_the_answer():
    ids = IDS.at[1].set(IDS[0])
    said = jnp.eye(4).at[1].set(jnp.eye(4)[0])
    rows, right = caption_rows(said, said, ids, 0.01)
    assert right.tolist() == [1, 1, 1, 1]  # either of the two is right
    np.testing.assert_allclose(rows[:2], np.log(2), rtol=1e-4)
    np.testing.assert_allclose(rows[2:], 0, atol=1e-5)


def test_it_is_the_same_both_ways_round():
    dice = np.random.default_rng(0)
    seen, said = (jnp.asarray(dice.standard_normal((4, 8)), jnp.float32) for _ in range(2))
    one, _ = caption_rows(seen, said, IDS, 0.5)
    other, _ = caption_rows(said, seen, IDS, 0.5)
    assert float(one.mean()) == pytest.approx(float(other.mean()), rel=1e-6)
