"""The gate's pure functions: what METHOD section 3 says of them, one property each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.models import gate as gating


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture
def attention() -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries [2 16 4 8], keys and values of three people with four tokens."""
    return draw(2, 16, 4, 8, seed=1), draw(2, 3, 4, 4, 8, seed=2), draw(2, 3, 4, 4, 8, seed=3)


def box(*cells: int, queries: int = 16) -> np.ndarray:
    inside = np.zeros(queries, bool)
    inside[list(cells)] = True
    return inside


def inside(*boxes: np.ndarray) -> jax.Array:
    return jnp.asarray(np.stack(boxes))[None]


def test_raw_gate_is_the_sum_of_all_logits(attention) -> None:
    query, key, _ = attention
    logits = np.einsum("bqnd,bptnd->bqnpt", np.float64(query), np.float64(key)) / np.sqrt(8)
    np.testing.assert_allclose(
        gating.raw_gate(query, key, jnp.eye(3)), logits.sum((2, 3, 4)), atol=1e-4
    )


def test_gate_spans_zero_to_one_and_zeroes_what_is_under_the_threshold() -> None:
    raw = draw(2, 64) * 7 + 100
    gate = np.asarray(gating.close_below(gating.gate_level(raw), 0.3))
    assert gate.max(1).tolist() == [1, 1]
    assert gate.min(1).tolist() == [0, 0]
    assert not ((gate > 0) & (gate < 0.3)).any()
    assert (np.argsort(np.asarray(raw[0]))[-10:] == np.argsort(gate[0])[-10:]).all()


@pytest.mark.parametrize("value", [0.0, -3.0, 1e4])
@pytest.mark.parametrize("queries", [1, 16])
def test_constant_logits_open_the_gate_instead_of_nan(value: float, queries: int) -> None:
    raw = jnp.full((2, queries), value)
    assert (gating.close_below(gating.gate_level(raw), 0.3) == 1).all()
    gradient = jax.grad(lambda x: gating.close_below(gating.gate_level(x), 0.3).sum())(raw)
    assert jnp.isfinite(gradient).all()


def test_layout_strength_adds_inside_divides_outside_and_counts_overlap_once() -> None:
    gate = jnp.full((1, 16), 0.6)
    boxes = inside(box(0, 1), box(1, 2))
    strong = gating.apply_layout_strength(gate, boxes, 2.0)[0]
    np.testing.assert_allclose(strong[:4], [2.6, 2.6, 2.6, 0.2], rtol=1e-6)
    assert (gating.apply_layout_strength(gate, boxes, 0.0) == gate).all()


def test_without_boxes_face_attention_is_one_softmax_over_all_tokens(attention) -> None:
    query, key, value = attention
    flat = lambda x: x.reshape(2, 12, 4, 8)  # noqa: E731
    expected = jax.nn.dot_product_attention(query, flat(key), flat(value))
    ours = gating.face_attention(query, key, value, jnp.eye(3), None)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_a_query_in_one_box_sees_exactly_that_person(attention) -> None:
    query, key, value = attention
    boxes = inside(box(0, 1, 2), box(5), box(9))
    ours = gating.face_attention(query, key, value, jnp.eye(3), boxes)
    alone = gating.face_attention(query, key[:, :1], value[:, :1], jnp.eye(1), None)
    everybody = gating.face_attention(query, key, value, jnp.eye(3), None)
    np.testing.assert_allclose(ours[:, :3], alone[:, :3], atol=2e-6)
    np.testing.assert_allclose(ours[:, 3], everybody[:, 3], atol=2e-6)


def test_a_query_in_two_boxes_sees_exactly_those_people(attention) -> None:
    query, key, value = attention
    boxes = inside(box(0, 1), box(1, 2), box(9))
    ours = gating.face_attention(query, key, value, jnp.eye(3), boxes)
    pair = gating.face_attention(query, key[:, :2], value[:, :2], jnp.eye(2), None)
    np.testing.assert_allclose(ours[:, 1], pair[:, 1], atol=2e-6)
    assert jnp.isfinite(ours).all()


def test_a_mix_averages_the_outputs_of_its_members(attention) -> None:
    query, key, value = attention
    weights = jnp.array([[0.2], [0.3], [0.5]])
    mixed = gating.face_attention(query, key, value, weights, None)
    singly = [
        gating.face_attention(query, key[:, i : i + 1], value[:, i : i + 1], jnp.eye(1), None)
        for i in range(3)
    ]
    expected = sum(w * one for w, one in zip([0.2, 0.3, 0.5], singly, strict=True))
    np.testing.assert_allclose(mixed, expected, atol=2e-6)


def test_weight_zero_removes_a_person_from_output_and_gate(attention) -> None:
    query, key, value = attention
    mix = jnp.array([[1.0], [0.0], [0.0]])
    ours = gating.face_attention(query, key, value, mix, None)
    alone = gating.face_attention(query, key[:, :1], value[:, :1], jnp.eye(1), None)
    np.testing.assert_allclose(ours, alone, atol=2e-6)
    np.testing.assert_allclose(
        gating.raw_gate(query, key, mix), gating.raw_gate(query, key[:, :1], jnp.eye(1)), atol=2e-6
    )


def test_a_person_mixed_with_themselves_is_that_person_also_beside_others(attention) -> None:
    query, key, value = attention
    twice_key, twice_value = (
        jnp.concatenate([x[:, :1], x[:, :1], x[:, 1:2]], 1) for x in (key, value)
    )
    mix = jnp.array([[0.4, 0.0], [0.6, 0.0], [0.0, 1.0]])
    boxes = inside(box(0, 1), box(4))
    ours = gating.face_attention(query, twice_key, twice_value, mix, boxes)
    plain = gating.face_attention(query, key[:, :2], value[:, :2], jnp.eye(2), boxes)
    np.testing.assert_allclose(ours, plain, atol=2e-6)


def test_the_order_of_people_does_not_matter(attention) -> None:
    query, key, value = attention
    boxes = [box(0, 1, 5), box(1, 2), box(9)]
    ours = gating.face_attention(query, key, value, jnp.eye(3), inside(*boxes))
    turned = gating.face_attention(
        query, key[:, ::-1], value[:, ::-1], jnp.eye(3), inside(*boxes[::-1])
    )
    np.testing.assert_allclose(ours, turned, atol=2e-6)


def test_very_different_logits_do_not_overflow() -> None:
    query, key = (
        jnp.full((1, 4, 1, 2), 100.0),
        jnp.stack([jnp.full((1, 4, 1, 2), s) for s in (9.0, -9.0)], 1),
    )
    value = draw(1, 2, 4, 1, 2)
    out = gating.face_attention(query, key, value, jnp.array([[0.5], [0.5]]), None)
    assert jnp.isfinite(out).all()
