"""Scaled dot-product attention behind one function, with the backend chosen when the program is lowered.

    attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V          per head

On a CPU the logits of a large map do not fit the caches: a map over heads with blocks of queries keeps them there
(4096 queries, 8 heads of 40, 2 cores: 0.22 s against 1.1 s for a plain einsum and 2.4 s for
`jax.nn.dot_product_attention`). Other backends get `jax.nn.dot_product_attention`, on NVIDIA GPUs cuDNN's fused kernel
where it can be had: half precision, heads of a multiple of 8 up to 128 (256 from Hopper on), even lengths.
A program for one TPU gets the Pallas kernel that comes with JAX: compiled for v5e, 4096 queries and 8 heads of 40 move
0.15 GB where XLA's own way moves 2.2 GB. Programs for several TPUs do not: the compiler cannot split
such a kernel.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

QUERY_BLOCK = 512  # 512 x 4096 float32 logits are 8 MB
LOGITS = 2**20  # at a time, unless one head and block have more
_FUSED = ContextVar("fused", default=True)
FLASH_BLOCK = 512  # queries and keys at a time in a TPU's own memory
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
    backend: str | None = None,
) -> Float[Array, "b q n d"]:
    """Softmax attention with 1/sqrt(d); softmax in float32.

    Args:
        query: of every head.
        key: likewise.
        value: likewise.
        causal: hides later keys from earlier queries.
        backend: "tpu" for a program of one TPU, which then may use a kernel of its own; None: any program.
    """
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

    ways = {"cpu": cpu}
    whole_blocks = query.shape[1] % FLASH_BLOCK == key.shape[1] % FLASH_BLOCK == 0
    if backend == "tpu" and whole_blocks and not causal:
        ways["tpu"] = _flash
    return jax.lax.platform_dependent(query, key, value, default=elsewhere, **ways)


def _fusible(query: Any, key: Any) -> bool:
    """Whether cuDNN's kernel takes these; asked while tracing, where only the default backend is known."""
    if not _FUSED.get() or jax.default_backend() != "gpu":
        return False
    half = query.dtype in (jnp.bfloat16, jnp.float16)
    even = query.shape[1] % 2 == 0 and key.shape[1] % 2 == 0
    capability, width = _capability(jax.devices()[0]), query.shape[-1]
    most = 256 if capability >= 9 else 128
    return capability >= 8 and half and even and width % 8 == 0 and width <= most


def _capability(device: Any) -> float:
    """CUDA's compute capability, 8 from Ampere on, where cuDNN has the kernel; 0 for an AMD GPU ("gfx942")."""
    try:
        return float(getattr(device, "compute_capability", 0))
    except ValueError:
        return 0.0


def _flash(query: Array, key: Array, value: Array) -> Array:
    """The TPU's kernel; lengths are multiples of FLASH_BLOCK."""
    # Imported here: other backends start without it.
    from jax.experimental.pallas.ops.tpu.flash_attention import BlockSizes, flash_attention

    heads_first = [jnp.moveaxis(x, 2, 1) for x in (query, key, value)]
    blocks = BlockSizes(
        block_q=FLASH_BLOCK, block_k_major=FLASH_BLOCK, block_k=FLASH_BLOCK, block_b=1
    )
    out = flash_attention(*heads_first, sm_scale=query.shape[-1] ** -0.5, block_sizes=blocks)
    return jnp.moveaxis(out, 1, 2)


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
    """Some heads and one block of queries at a time."""
    b, q, n, d = query.shape
    block = next(size for size in range(min(QUERY_BLOCK, q), 0, -1) if q % size == 0)
    if block * 8 < min(QUERY_BLOCK, q):  # tiny blocks would cost more than they save
        block = q
    most = max(1, LOGITS // (block * key.shape[1]))
    # Of one row of the batch, whose size a program that is exported may leave open.
    heads = next(count for count in range(min(most, n), 0, -1) if n % count == 0)

    def grouped(x: Array) -> Array:
        return jnp.moveaxis(x, 2, 1).reshape(b * (n // heads), heads, x.shape[1], d)

    out = _of_groups(block, grouped(query * d**-0.5), grouped(key), grouped(value))
    return jnp.moveaxis(out.reshape(b, n, q, d), 1, 2)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _of_groups(
    block: int, query: Float[Array, "g n q d"], key: Float[Array, "g n k d"], value: Array
) -> Float[Array, "g n q d"]:
    """softmax(Q K^T) V, one group and one block of queries after the other.

    Its gradient computes the softmax again from what it was divided by, block for block (arXiv 2205.14135), which takes
    0.65 to 0.72 of the time of keeping it (benchmarks/attention_gradient.py).
    """
    return _forward(block, query, key, value)[0]


def _forward(block: int, query: Array, key: Array, value: Array) -> tuple[Array, tuple[Array, ...]]:
    """The result, and what the gradient takes: the inputs, the result, and the logarithm of the softmax's sums."""

    def head(query: Array, key: Array, value: Array) -> tuple[Array, Array]:
        across = key.T

        def rows(part: Array) -> tuple[Array, Array]:
            logits = (part @ across).astype(jnp.float32)
            top = logits.max(-1, keepdims=True)
            weights = jnp.exp(logits - top)
            total = weights.sum(-1, keepdims=True)
            out = (weights.astype(value.dtype) @ value) / total
            return out.astype(value.dtype), top + jnp.log(total)

        out, total = jax.lax.map(rows, query.reshape(-1, block, query.shape[-1]))
        return out.reshape(query.shape), total.reshape(-1, 1)

    out, total = _each(head, query, key, value)
    return out, (query, key, value, out, total)


def _backward(block: int, kept: tuple[Array, ...], slope: Array) -> tuple[Array, Array, Array]:
    """Slopes of query, key and value.

    With P the softmax and D the slope of the result O:

        dV = P^T D        dS = P * (D V^T - sum(D * O))        dQ = dS K        dK = dS^T Q
    """

    def head(
        query: Array, key: Array, value: Array, out: Array, total: Array, slope: Array
    ) -> tuple[Array, Array, Array]:
        def rows(sums: tuple[Array, Array], part: tuple[Array, ...]) -> tuple[Any, Array]:
            query, out, total, slope = part
            weights = jnp.exp((query @ key.T).astype(jnp.float32) - total)
            steep = weights * (slope @ value.T - (slope * out).sum(-1, keepdims=True))
            steep, weights = steep.astype(key.dtype), weights.astype(key.dtype)
            return (sums[0] + steep.T @ query, sums[1] + weights.T @ slope), steep @ key

        parts = tuple(x.reshape(-1, block, x.shape[-1]) for x in (query, out, total, slope))
        none = jnp.zeros(key.shape, jnp.float32), jnp.zeros(value.shape, jnp.float32)
        sums, query_slope = jax.lax.scan(rows, none, parts)
        key_slope, value_slope = (x.astype(key.dtype) for x in sums)
        return query_slope.reshape(query.shape), key_slope, value_slope

    return _each(head, *kept, slope)


def _each(head: Callable[..., Any], *operands: Float[Array, "g n _ _"]) -> Any:
    """A function of one head, of all: group after group, the heads of one together."""

    def group(some: tuple[Array, ...]) -> Any:
        if some[0].shape[0] > 1:
            return jax.vmap(head)(*some)
        # A product of one matrix is faster than one of a batch of one.
        return jax.tree.map(lambda x: x[None], head(*(x[0] for x in some)))

    return jax.lax.map(group, operands)


_of_groups.defvjp(_forward, _backward)
