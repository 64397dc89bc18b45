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

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LANES = 16  # float32 values in a CPU's vector
QUERY_BLOCK = 512  # 512 x 4096 float32 logits are 8 MB
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
    # The softmax's denominator comes out of the product as one more column, so that the logits are read once less.
    ones = jnp.ones((*values.shape[:2], -(d + 1) % LANES + 1), values.dtype)
    values = jnp.concatenate([values, ones], axis=-1)

    def head(operands: tuple[Array, Array, Array]) -> Array:
        blocks, head_keys, head_values = operands

        def rows(part: Array) -> Array:
            logits = (part @ head_keys).astype(jnp.float32)
            weights = jnp.exp(logits - logits.max(-1, keepdims=True))
            sums = weights.astype(value.dtype) @ head_values
            return sums[:, :d] / sums[:, d : d + 1]

        return jax.lax.map(rows, blocks)

    out = jax.lax.map(head, (scaled, keys, values))
    return jnp.moveaxis(out.reshape(b, n, q, d), 1, 2)
