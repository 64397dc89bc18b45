"""Attention and feed-forward of the perceiver resampler and of IMR (METHOD sections 2 and 4).

With z the queries and f the context, both after their own LayerNorm:

    Q = z Wq                    [K, V] = concat(f, z) Wkv                                  (1)
    out = softmax( (Q d^-1/4) (K d^-1/4)^T ) V Wo        d: head width                     (2)
    FF(z) = W2 gelu( W1 LayerNorm(z) )                   W1 widens 4 times, exact GELU     (3)

No linear map here has a bias. The caller adds the residuals.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

NORM_EPS = 1e-5
FF_FACTOR = 4


def layer_norm(dtype: Any) -> nn.LayerNorm:
    """LayerNorm of the face networks: eps 1e-5, float32 statistics.

    The variance is taken around the mean: E[x^2] - E[x]^2 loses digits where the mean is large, and
    these networks are far too small for the second pass to cost anything.
    """
    return nn.LayerNorm(epsilon=NORM_EPS, dtype=dtype, use_fast_variance=False)


def perceiver_attend(
    query: Float[Array, "b q inner"], key_value: Float[Array, "b m inner2"], num_heads: int
) -> Float[Array, "b q inner"]:
    """Equation (2) without Wo.

    Args:
        query: projected queries, all heads side by side (inner = n * d).
        key_value: projected keys, then values (inner2 = 2 * inner).
        num_heads: n.
    """
    key, value = jnp.split(key_value, 2, axis=-1)
    query, key, value = (
        part.reshape(*part.shape[:2], num_heads, -1) for part in (query, key, value)
    )
    # Half of 1/sqrt(d) on each side, as published: half-precision logits stay in range.
    scale = query.shape[-1] ** -0.25
    logits = jnp.einsum("bqnd,bmnd->bnqm", query * scale, key * scale)
    weights = jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bnqm,bmnd->bqnd", weights, value)
    return mixed.reshape(*mixed.shape[:2], -1)


class PerceiverAttention(nn.Module):
    """Queries attend to a context and to themselves: equations (1) and (2)."""

    width: int
    num_heads: int
    head_width: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Norms of both inputs and the three bias-free maps."""
        inner = self.num_heads * self.head_width
        self.norm_context = layer_norm(self.dtype)
        self.norm_query = layer_norm(self.dtype)
        self.to_q = nn.Dense(inner, use_bias=False, dtype=self.dtype)
        self.to_kv = nn.Dense(2 * inner, use_bias=False, dtype=self.dtype)
        self.to_out = nn.Dense(self.width, use_bias=False, dtype=self.dtype)

    def __call__(
        self, queries: Float[Array, "b q width"], context: Float[Array, "b m width"]
    ) -> Float[Array, "b q width"]:
        """The attention's output, to be added to the queries."""
        queries, context = self.norm_query(queries), self.norm_context(context)
        key_value = self.to_kv(jnp.concatenate([context, queries], axis=1))
        return self.to_out(perceiver_attend(self.to_q(queries), key_value, self.num_heads))


class SelfAttention(nn.Module):
    """Tokens attend to themselves: the same form with a single norm and no context."""

    width: int
    num_heads: int
    head_width: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """One norm and the three bias-free maps."""
        inner = self.num_heads * self.head_width
        self.norm = layer_norm(self.dtype)
        self.to_q = nn.Dense(inner, use_bias=False, dtype=self.dtype)
        self.to_kv = nn.Dense(2 * inner, use_bias=False, dtype=self.dtype)
        self.to_out = nn.Dense(self.width, use_bias=False, dtype=self.dtype)

    def __call__(self, tokens: Float[Array, "b t width"]) -> Float[Array, "b t width"]:
        """The attention's output, to be added to the tokens."""
        tokens = self.norm(tokens)
        mixed = perceiver_attend(self.to_q(tokens), self.to_kv(tokens), self.num_heads)
        return self.to_out(mixed)


class FeedForward(nn.Module):
    """Equation (3)."""

    width: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Norm and the two bias-free maps."""
        self.norm = layer_norm(self.dtype)
        self.proj_in = nn.Dense(FF_FACTOR * self.width, use_bias=False, dtype=self.dtype)
        self.proj_out = nn.Dense(self.width, use_bias=False, dtype=self.dtype)

    def __call__(self, tokens: Float[Array, "b t width"]) -> Float[Array, "b t width"]:
        """The feed-forward's output, to be added to the tokens."""
        return self.proj_out(jax.nn.gelu(self.proj_in(self.norm(tokens)), approximate=False))
