"""The rules of the updates, by closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.config import OptimizerConfig
from dynamicid_jax.training.optimizer import ADAM_RMS, RULES, make_optimizer

STILL = {"weight_decay": 0.0, "clip_norm": None, "warmup": 0}


def first_update(config, gradient):
    optimizer = make_optimizer(config)
    zeros = jax.tree.map(jnp.zeros_like, gradient)
    return optimizer.update(gradient, optimizer.init(zeros), zeros)[0]


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)])
def test_muon_moves_a_matrix_alike_in_all_its_directions(shape):
    rows, columns = shape
    keys = jax.random.split(jax.random.key(rows), 2)
    rank = min(shape)
    left = jnp.linalg.qr(jax.random.normal(keys[0], (rows, rank)))[0]
    right = jnp.linalg.qr(jax.random.normal(keys[1], (columns, rank)))[0]
    # From the strongest direction of the gradient to the faintest: a factor of 30.
    gradient = (left * jnp.geomspace(1.0, 1 / 30, rank)[None]) @ right.T
    update = first_update(OptimizerConfig(rule="muon", **STILL), {"kernel": gradient})["kernel"]
    along = np.asarray(left.T @ update @ right) / (ADAM_RMS * max(shape) ** 0.5)
    np.testing.assert_allclose(np.diag(along), 1.0, atol=0.35)
    np.testing.assert_allclose(along - np.diag(np.diag(along)), 0.0, atol=0.02)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_ignores_the_gradients_scale_and_walks_downhill(name):
    gradient = {
        "kernel": jax.random.normal(jax.random.key(0), (8, 16)),
        "bias": jax.random.normal(jax.random.key(1), (16,)),
    }
    config = OptimizerConfig(rule=name, **STILL)
    update = first_update(config, gradient)
    scaled = first_update(config, jax.tree.map(lambda leaf: 100 * leaf, gradient))
    for leaf, other, slope in zip(*map(jax.tree.leaves, (update, scaled, gradient)), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-3, atol=1e-5)
        assert float((leaf * slope).sum()) > 0  # the caller subtracts it
