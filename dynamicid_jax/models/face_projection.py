"""Face projection: an id embedding and a picture's features to face tokens (METHOD section 2).

    z = LayerNorm( reshape( W2 gelu(W1 e), (t, x) ) )          e: id embedding              (1)
    f = Linear(features)                                                                  (2)
    z <- PA(z, f) + z;   z <- FF(z) + z                        `depth` times                (3)
    tokens = LayerNorm( Linear(z) )                                                        (4)

Widths: e 512 -> 1024 -> t * x = 4 * 768; features 1280 -> x. Unconditional tokens come from e = 0
and the features of all-zero pixel values.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from dynamicid_jax.models.configs import FaceProjectionConfig
from dynamicid_jax.models.perceiver import FeedForward, PerceiverAttention, layer_norm


class ResamplerLayer(nn.Module):
    """Equation (3): perceiver attention and feed-forward, each with its residual."""

    config: FaceProjectionConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The two sublayers."""
        config = self.config
        self.attention = PerceiverAttention(
            config.context_width, config.num_heads, config.head_width, self.dtype
        )
        self.ff = FeedForward(config.context_width, self.dtype)

    def __call__(
        self, tokens: Float[Array, "b t x"], features: Float[Array, "b m x"]
    ) -> Float[Array, "b t x"]:
        """Tokens after one layer."""
        tokens = self.attention(tokens, features) + tokens
        return self.ff(tokens) + tokens


class Resampler(nn.Module):
    """Equations (2) to (4)."""

    config: FaceProjectionConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Input map of the features, the layers, output map and norm."""
        config = self.config
        self.proj_in = nn.Dense(config.context_width, dtype=self.dtype)
        self.layers = [ResamplerLayer(config, self.dtype) for _ in range(config.depth)]
        self.proj_out = nn.Dense(config.context_width, dtype=self.dtype)
        self.norm_out = layer_norm(self.dtype)

    def __call__(
        self, tokens: Float[Array, "b t x"], features: Float[Array, "b m c"]
    ) -> Float[Array, "b t x"]:
        """Resampled tokens."""
        context = self.proj_in(features)
        for layer in self.layers:
            tokens = layer(tokens, context)
        return self.norm_out(self.proj_out(tokens))


class FaceProjection(nn.Module):
    """Makes the face tokens that every cross-attention of the UNet sees."""

    config: FaceProjectionConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The id branch of equation (1) and the resampler."""
        config = self.config
        self.id_in = nn.Dense(2 * config.id_width, dtype=self.dtype)
        self.id_out = nn.Dense(config.tokens_per_person * config.context_width, dtype=self.dtype)
        self.id_norm = layer_norm(self.dtype)
        self.resampler = Resampler(config, self.dtype)

    def id_tokens(self, id_embedding: Float[Array, "b e"]) -> Float[Array, "b t x"]:
        """Equation (1): the tokens that the id embedding alone gives, before the resampler."""
        config = self.config
        hidden = self.id_out(jax.nn.gelu(self.id_in(id_embedding), approximate=False))
        shape = (hidden.shape[0], config.tokens_per_person, config.context_width)
        return self.id_norm(hidden.reshape(shape))

    def __call__(
        self, id_embedding: Float[Array, "b e"], features: Float[Array, "b m c"]
    ) -> Float[Array, "b t x"]:
        """Face tokens.

        Args:
            id_embedding: L2-normalised output of the recogniser (e = config.id_width), or zeros.
            features: penultimate hidden states of the image encoder (c = config.image_width; m
                counts the patches and the class token).

        Returns:
            `tokens_per_person` tokens per row, normalised.
        """
        return self.resampler(self.id_tokens(id_embedding), features)
