"""CLIP text tower: token ids to states for cross-attention, and the pooled state of a face prompt.

x = token_embedding[ids] + position_embedding;   x <- layers (causal);   states = LayerNorm(x)
pooled = states at the first end-of-text token
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from dynamicid_jax.errors import InputError
from dynamicid_jax.models.clip_layers import CLIPLayer, layer_norm
from dynamicid_jax.models.configs import TextEncoderConfig

EMBEDDING_INIT = nn.initializers.normal(0.02)


class TextEncoder(nn.Module):
    """The text tower of SD1.5 (CLIP ViT-L/14) and its smaller relatives."""

    config: TextEncoderConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Two embeddings, the layers, the final norm."""
        config = self.config

        # In float32: the gradient adds up thousands of rows of one token, for which half precision is neither exact
        # enough nor, on a GPU, anything but slow.
        def embedding(rows: int) -> nn.Embed:
            return nn.Embed(rows, config.width, embedding_init=EMBEDDING_INIT)

        self.token_embedding = embedding(config.vocab_size)
        self.position_embedding = embedding(config.max_length)
        self.layers = [
            CLIPLayer(config, causal=True, dtype=self.dtype) for _ in range(config.num_layers)
        ]
        self.final_norm = layer_norm(config, self.dtype)

    def __call__(self, ids: Int[Array, "b l"]) -> tuple[Float[Array, "b l x"], Float[Array, "b x"]]:
        """States of every token and the pooled state.

        Args:
            ids: token ids in [0, vocab_size), at most config.max_length per row. Each row holds an
                end-of-text token (a row without one is pooled at its first token).

        Returns:
            states: final norm applied, [b, l, width].
            pooled: the state at each row's first end-of-text token, [b, width].

        Raises:
            InputError: rows longer than config.max_length.
        """
        length = ids.shape[1]
        if length > self.config.max_length:
            raise InputError(
                f"ids: got {length} tokens per row, expected at most {self.config.max_length}; "
                "shorten the text"
            )
        x = self.token_embedding(ids) + self.position_embedding(jnp.arange(length))[None]
        x = x.astype(self.dtype)
        for layer in self.layers:
            x = layer(x)
        states = self.final_norm(x)
        # argmax gives the first of equal values; rows are padded with end-of-text tokens too.
        end = jnp.argmax(ids == self.config.eot_token_id, axis=1)
        pooled = jnp.take_along_axis(states, end[:, None, None], axis=1)[:, 0]
        return states, pooled
