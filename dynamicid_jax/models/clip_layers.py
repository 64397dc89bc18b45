"""The transformer layer that both CLIP towers share: pre-norm attention and a two-layer perceptron.

x <- x + attention(LayerNorm(x));   x <- x + W2 act(W1 LayerNorm(x))
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from dynamicid_jax.models.attention import attend_heads
from dynamicid_jax.models.configs import Activation, ImageEncoderConfig, TextEncoderConfig


def activate(x: Float[Array, "*shape"], kind: Activation) -> Float[Array, "*shape"]:
    """The perceptron's activation: exact GELU, or its approximation x * sigmoid(1.702 x)."""
    if kind == "quick_gelu":
        return x * jax.nn.sigmoid(1.702 * x)
    return jax.nn.gelu(x, approximate=False)


def layer_norm(config: TextEncoderConfig | ImageEncoderConfig, dtype: Any) -> nn.LayerNorm:
    """LayerNorm of a tower, with float32 statistics.

    The variance is taken around the mean: single channels of a trained CLIP are huge, and
    E[x^2] - E[x]^2 would lose digits to them.
    """
    return nn.LayerNorm(epsilon=config.norm_eps, dtype=dtype, use_fast_variance=False)


class CLIPAttention(nn.Module):
    """Multi-head self-attention with biases."""

    width: int
    num_heads: int
    causal: bool
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The four maps."""
        self.q = nn.Dense(self.width, dtype=self.dtype)
        self.k = nn.Dense(self.width, dtype=self.dtype)
        self.v = nn.Dense(self.width, dtype=self.dtype)
        self.out = nn.Dense(self.width, dtype=self.dtype)

    def __call__(self, x: Float[Array, "b l x"]) -> Float[Array, "b l x"]:
        """Attention output; a causal tower's token sees itself and earlier ones only."""
        query, key, value = (
            part(x).reshape(*x.shape[:2], self.num_heads, -1) for part in (self.q, self.k, self.v)
        )
        return self.out(attend_heads(query, key, value, causal=self.causal).reshape(x.shape))


class CLIPPerceptron(nn.Module):
    """Two linear maps around the activation."""

    config: TextEncoderConfig | ImageEncoderConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The two maps."""
        self.fc1 = nn.Dense(self.config.mlp_width, dtype=self.dtype)
        self.fc2 = nn.Dense(self.config.width, dtype=self.dtype)

    def __call__(self, x: Float[Array, "b l x"]) -> Float[Array, "b l x"]:
        """Perceptron output."""
        return self.fc2(activate(self.fc1(x), self.config.activation))


class CLIPLayer(nn.Module):
    """One layer of either tower."""

    config: TextEncoderConfig | ImageEncoderConfig
    causal: bool
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The two sublayers with their norms."""
        config = self.config
        self.norm1 = layer_norm(config, self.dtype)
        self.attention = CLIPAttention(config.width, config.num_heads, self.causal, self.dtype)
        self.norm2 = layer_norm(config, self.dtype)
        self.mlp = CLIPPerceptron(config, self.dtype)

    def __call__(self, x: Float[Array, "b l x"]) -> Float[Array, "b l x"]:
        """States after the layer."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))
