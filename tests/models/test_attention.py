"""Attention: every backend's way gives the defining formula."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from dynamicid_jax.models import attention
from dynamicid_jax.models.attention import attend_heads


def defined(query, key, value, causal: bool) -> np.ndarray:
    """softmax(Q K^T / sqrt(d)) V in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (query, key, value))
    logits = np.einsum("bqnd,bknd->bnqk", q, k) / np.sqrt(q.shape[-1])
    if causal:
        logits[..., ~np.tri(*logits.shape[-2:], dtype=bool)] = -np.inf
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bnqk,bknd->bqnd", weights / weights.sum(-1, keepdims=True), v)


def draw(queries: int, keys: int, scale: float = 1.0):
    shapes = [(2, length, 3, 8) for length in (queries, keys, keys)]
    return [scale * jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (600, 77), (1024, 1024), (1009, 300)])
def test_attention_is_its_definition(queries: int, keys: int) -> None:
    operands = draw(queries, keys)
    np.testing.assert_allclose(attend_heads(*operands), defined(*operands, False), atol=5e-6)


def test_large_logits_stay_finite_in_blocks() -> None:
    operands = draw(512, 512, scale=8.0)  # logits up to 400
    np.testing.assert_allclose(attend_heads(*operands), defined(*operands, False), atol=2e-3)


def test_causal_attention_hides_later_keys() -> None:
    operands = draw(77, 77)
    np.testing.assert_allclose(
        attend_heads(*operands, causal=True), defined(*operands, True), atol=5e-6
    )


def test_the_way_of_other_backends_agrees_with_the_cpus() -> None:
    query, key, value = draw(512, 512)
    elsewhere = jax.nn.dot_product_attention(query, key, value)
    np.testing.assert_allclose(attention._blocked(query, key, value), elsewhere, atol=5e-6)


def test_the_tpus_kernel_agrees_when_it_is_interpreted() -> None:
    operands = draw(1024, 512)
    with pltpu.force_tpu_interpret_mode():
        flash = attention._flash(*operands)
    np.testing.assert_allclose(flash, defined(*operands, False), atol=5e-6)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        pytest.param(512, 300, id="one block, heads together"),
        pytest.param(600, 77, id="two blocks, heads together"),
        pytest.param(1024, 2100, id="two blocks, a head alone"),
        pytest.param(1009, 300, id="a prime number of queries"),
    ],
)
def test_gradients_agree_between_blocks_and_the_whole(queries: int, keys: int) -> None:
    operands = draw(queries, keys)

    def slopes(way):
        return jax.jit(jax.grad(lambda *some: (way(*some) ** 2).sum(), (0, 1, 2)))(*operands)

    blocked = slopes(attention._blocked)
    whole = slopes(lambda query, key, value: attention._whole(query, key, value, False))
    for found, expected in zip(blocked, whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradients_of_large_logits_stay_finite() -> None:
    operands = draw(512, 512, scale=30.0)  # logits up to 5 000
    slopes = jax.grad(lambda *some: attention._blocked(*some).sum(), (0, 1, 2))(*operands)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_half_precision_gradients_keep_their_type() -> None:
    half = [x.astype("bfloat16") for x in draw(600, 300)]
    slopes = jax.grad(lambda *some: attention._blocked(*some).sum(), (0, 1, 2))(*half)
    exact = jax.grad(lambda *some: attention._blocked(*some).sum(), (0, 1, 2))(*draw(600, 300))
    for slope, expected in zip(slopes, exact, strict=True):
        assert slope.dtype == "bfloat16"
        np.testing.assert_allclose(slope.astype("float32"), expected, atol=0.05, rtol=0.03)


@pytest.mark.parametrize(
    ("dtype", "shape", "capability", "fused"),
    [
        ("bfloat16", (4096, 40), "8.0", True),
        ("float16", (576, 160), "9.0", True),
        ("bfloat16", (576, 160), "8.0", False),  # wider than kernels before Hopper take
        ("float32", (4096, 40), "9.0", False),
        ("float16", (4096, 40), "7.5", False),  # before Ampere there is no such kernel
        ("bfloat16", (4096, 40), "gfx942", False),  # AMD
        ("bfloat16", (4095, 40), "9.0", False),
        ("bfloat16", (4096, 36), "9.0", False),
    ],
)
def test_cudnns_kernel_is_asked_for_what_it_takes(
    monkeypatch, dtype: str, shape: tuple[int, int], capability: str, fused: bool
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(compute_capability=capability)])
    length, width = shape
    query = jax.ShapeDtypeStruct((2, length, 8, width), dtype)
    assert attention._fusible(query, query) == fused
