"""CLIP vision tower: a picture to patch features, of which face tokens are made, and one embedding.

x = [class_embedding; patches] + position_embedding;   x <- LayerNorm(x);   x <- layers
features  = input of the last layer (penultimate hidden states, class token first, no final norm)
embedding = projection( LayerNorm( class token after the last layer ))
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from dynamicid_jax.models.clip_layers import CLIPLayer, layer_norm
from dynamicid_jax.models.configs import ImageEncoderConfig

EMBEDDING_INIT = nn.initializers.normal(0.02)


def normalise(
    pixels: UInt8[Any, "*rows s s 3"], config: ImageEncoderConfig
) -> Float[Any, "*rows s s 3"]:
    """Bytes to [0, 1], minus mean, over deviation: what the tower was trained with; NumPy or JAX arrays."""
    ones = (1,) * (pixels.ndim - 1)
    mean, std = (
        np.array(values, np.float32).reshape(*ones, 3) for values in (config.mean, config.std)
    )
    return (pixels.astype(np.float32) / 255 - mean) / std


class ImageEncoder(nn.Module):
    """The vision tower, ViT-H/14 by default. Features alone do not need its last layer."""

    config: ImageEncoderConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Embeddings, the layers, both norms and the projection."""
        config = self.config
        patch = (config.patch_size, config.patch_size)
        cells = (config.image_size // config.patch_size) ** 2
        self.class_embedding = self.param("class_embedding", EMBEDDING_INIT, (config.width,))
        self.patch_embedding = nn.Conv(
            config.width, patch, strides=patch, padding="VALID", use_bias=False, dtype=self.dtype
        )
        self.position_embedding = nn.Embed(
            cells + 1, config.width, embedding_init=EMBEDDING_INIT, dtype=self.dtype
        )
        self.pre_norm = layer_norm(config, self.dtype)
        self.layers = [
            CLIPLayer(config, causal=False, dtype=self.dtype) for _ in range(config.num_layers)
        ]
        self.post_norm = layer_norm(config, self.dtype)
        self.projection = nn.Dense(config.projection_width, use_bias=False, dtype=self.dtype)

    def __call__(
        self, pixels: Float[Array, "b size size 3"]
    ) -> tuple[Float[Array, "b m c"], Float[Array, "b projection"]]:
        """Features and embedding.

        Args:
            pixels: pictures of config.image_size, normalised by config.mean and config.std; all
                zeros for unconditional face tokens.

        Returns:
            features: m = 1 + (image_size // patch_size)^2 tokens of config.width, the class
                token first.
            embedding: one vector of config.projection_width per picture, not normalised.
        """
        patches = self.patch_embedding(pixels)
        b, rows, columns, c = patches.shape
        patches = patches.reshape(b, rows * columns, c)
        start = jnp.broadcast_to(self.class_embedding.astype(self.dtype), (b, 1, c))
        positions = self.position_embedding(jnp.arange(1 + rows * columns))
        x = self.pre_norm(jnp.concatenate([start, patches], axis=1) + positions[None])
        for layer in self.layers[:-1]:
            x = layer(x)
        last = self.layers[-1](x)
        return x, self.projection(self.post_norm(last[:, 0]))
