"""Scaled dot-product attention behind one function, with the backend chosen when the program is lowered.

    attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V          per head

On a CPU the logits of a large map do not fit the caches: a map over heads with blocks of queries keeps them there
(4096 queries, 8 heads of 40, 2 cores: 0.22 s against 1.1 s for a plain einsum and 2.4 s for
`jax.nn.dot_product_attention`). Other backends get `jax.nn.dot_product_attention`, on NVIDIA GPUs cuDNN's fused kernel
where it can be had: half precision, heads of a multiple of 8, even lengths.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

QUERY_BLOCK = 1024  # 1024 x 4096 float32 logits are 16 MB
_FUSED = ContextVar("fused", default=True)
SMALL = 64 * 1024  # logits per head up to which one product for all heads is best on any backend


@contextmanager
def unfused() -> Iterator[None]:
    """Within it, programs are traced without cuDNN's kernel: for those that leave this machine."""
    token = _FUSED.set(False)
    try:
        yield
    finally:
        _FUSED.reset(token)


def attend_heads(
    query: Float[Array, "b q n d"],
    key: Float[Array, "b k n d"],
    value: Float[Array, "b k n d"],
    *,
    causal: bool = False,
) -> Float[Array, "b q n d"]:
    """Softmax attention with 1/sqrt(d); softmax in float32; `causal` hides later keys from earlier queries."""
    if query.shape[1] * key.shape[1] <= SMALL:
        return _whole(query, key, value, causal)

    def elsewhere(query: Array, key: Array, value: Array) -> Array:
        backend: Literal["cudnn"] | None = "cudnn" if _fusible(query, key) else None
        return jax.nn.dot_product_attention(
            query, key, value, is_causal=causal, implementation=backend
        )

    def cpu(query: Array, key: Array, value: Array) -> Array:
        if causal:
            return _whole(query, key, value, causal)
        return _blocked(query, key, value)

    return jax.lax.platform_dependent(query, key, value, cpu=cpu, default=elsewhere)


def _fusible(query: Array, key: Array) -> bool:
    """Whether cuDNN's kernel takes these; asked while tracing, where only the default backend is known."""
    half = query.dtype in (jnp.bfloat16, jnp.float16)
    even = query.shape[1] % 2 == 0 and key.shape[1] % 2 == 0
    return (
        _FUSED.get()
        and jax.default_backend() == "gpu"
        and half
        and even
        and query.shape[-1] % 8 == 0
    )


def _softmax(logits: Array) -> Array:
    return jax.nn.softmax(logits.astype(jnp.float32), axis=-1)


def _whole(query: Array, key: Array, value: Array, causal: bool) -> Array:
    """All heads and queries at once."""
    logits = jnp.einsum("bqnd,bknd->bnqk", query * query.shape[-1] ** -0.5, key)
    if causal:
        visible = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        logits = jnp.where(visible[None, None], logits, -jnp.inf)
    return jnp.einsum("bnqk,bknd->bqnd", _softmax(logits).astype(value.dtype), value)


def _blocked(query: Array, key: Array, value: Array) -> Array:
    """One head and one block of queries at a time."""
    b, q, n, d = query.shape
    block = next(size for size in range(min(QUERY_BLOCK, q), 0, -1) if q % size == 0)
    if block * 8 < min(
        QUERY_BLOCK, q
    ):  # an awkward length: tiny blocks would cost more than they save
        block = q
    scaled = jnp.moveaxis(query * d**-0.5, 2, 1).reshape(b * n, q // block, block, d)
    keys = jnp.transpose(key, (0, 2, 3, 1)).reshape(b * n, d, -1)
    values = jnp.moveaxis(value, 2, 1).reshape(b * n, -1, d)

    def head(operands: tuple[Array, Array, Array]) -> Array:
        blocks, head_keys, head_values = operands

        def rows(part: Array) -> Array:
            logits = (part @ head_keys).astype(jnp.float32)
            weights = jnp.exp(logits - logits.max(-1, keepdims=True))
            # Dividing after the product touches d columns instead of k.
            return (weights.astype(value.dtype) @ head_values) / weights.sum(
                -1, keepdims=True
            ).astype(value.dtype)

        return jax.lax.map(rows, blocks)

    out = jax.lax.map(head, (scaled, keys, values))
    return jnp.moveaxis(out.reshape(b, n, q, d), 1, 2)
