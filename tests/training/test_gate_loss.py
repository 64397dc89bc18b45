"""The gates' own loss (9): closed forms, and a gradient where gates are closed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.models.gate import close_below
from dynamicid_jax.training.gate_means import misplaced

BOX = jnp.array([[0.25, 0.0, 0.75, 0.5]])
INSIDE = np.zeros((8, 8), np.float32)
INSIDE[0:4, 2:6] = 1
ONE = jnp.ones(1)


def test_gates_on_the_face_alone_cost_nothing_and_the_rest_costs_its_closed_form():
    on_face = jnp.asarray(INSIDE.reshape(1, 64))
    cost = lambda level: float(misplaced({"a": level}, BOX, ONE))  # noqa: E731
    assert cost(on_face) == 0
    assert cost(1 - on_face) == 1
    assert cost(jnp.full((1, 64), 0.5)) == pytest.approx(0.25)
    uniform = jax.random.uniform(jax.random.key(0), (1, 128 * 128))
    assert cost(uniform) == pytest.approx(1 / 3, abs=0.01)


def test_inside_and_outside_count_alike_however_small_the_face():
    small = jnp.array([[0.0, 0.0, 0.125, 0.125]])  # one cell of 64
    closed = jnp.zeros((1, 64))
    assert float(misplaced({"a": closed}, small, ONE)) == pytest.approx(0.5)


def test_rows_without_their_face_do_not_count_and_layers_count_alike():
    good, bad = jnp.asarray(INSIDE.reshape(1, 64)), jnp.asarray(1 - INSIDE.reshape(1, 64))
    both, boxes = jnp.concatenate([good, bad]), jnp.concatenate([BOX, BOX])
    assert float(misplaced({"a": both}, boxes, jnp.array([1.0, 0.0]))) == 0
    coarse = jnp.zeros((1, 16)).at[0, 1:3].set(1).at[0, 5:7].set(1)
    assert float(misplaced({"a": bad, "b": {"c": coarse}}, BOX, ONE)) == 0.5


def test_a_gate_that_has_closed_on_the_face_still_learns_to_open():
    def cost(level: jax.Array, threshold: float) -> jax.Array:
        return misplaced({"a": close_below(level, threshold)}, BOX, ONE)

    level = jnp.full((1, 64), 0.1)
    inside = INSIDE.reshape(1, 64) > 0
    assert (jax.grad(cost)(level, 0.0)[inside] < 0).all()
    assert (jax.grad(cost)(level, 0.3)[inside] == 0).all()  # why levels are what it is taken of
