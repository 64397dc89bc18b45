"""Identity-Motion Reconfigurator: takes the motion out of face tokens and puts another in.

    psi = gelu( Linear( LayerNorm( gelu( Linear( LayerNorm( [keypoints, text] ))))))        (1)
    xi  = Linear( LayerNorm(tokens) )                                                      (2)
    layer(xi, psi):  xi <- PA(xi, psi) + xi;  xi <- SA(xi) + xi;  xi <- FF(xi) + xi         (3)
    identity = layers_disentangle( xi, psi(source) )                                       (4)
    tokens'  = Linear( LayerNorm( layers_entangle( identity, psi(target) )))               (5)

psi are the motion tokens. Nothing is carried from input to output unchanged. With one source and m
targets, (4) runs once and (5) m times. Source: METHOD section 4.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.models.configs import IMRConfig
from dynamicid_jax.models.perceiver import (
    FeedForward,
    PerceiverAttention,
    SelfAttention,
    layer_norm,
)


class MotionNet(nn.Module):
    """Equation (1): keypoint feature and pooled face prompt, fused to motion tokens."""

    config: IMRConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Two normalised linear maps."""
        config = self.config
        self.norm_in = layer_norm(self.dtype)
        self.proj_in = nn.Dense(config.width, dtype=self.dtype)
        self.norm_mid = layer_norm(self.dtype)
        self.proj_out = nn.Dense(config.tokens_per_person * config.width, dtype=self.dtype)

    def __call__(
        self, keypoints: Float[Array, "b keypoint"], text: Float[Array, "b text"]
    ) -> Float[Array, "b t width"]:
        """Motion tokens; an ablated half of the motion counts as zeros."""
        if self.config.motion == "text":
            keypoints = jnp.zeros_like(keypoints)
        if self.config.motion == "keypoints":
            text = jnp.zeros_like(text)
        hidden = self.norm_in(jnp.concatenate([keypoints, text], axis=-1))
        hidden = self.norm_mid(jax.nn.gelu(self.proj_in(hidden), approximate=False))
        hidden = jax.nn.gelu(self.proj_out(hidden), approximate=False)
        return hidden.reshape(hidden.shape[0], self.config.tokens_per_person, self.config.width)


class IMRLayer(nn.Module):
    """Equation (3)."""

    config: IMRConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The three sublayers."""
        config = self.config
        shape = (config.width, config.num_heads, config.head_width, self.dtype)
        self.cross_attention = PerceiverAttention(*shape)
        self.self_attention = SelfAttention(*shape)
        self.ff = FeedForward(config.width, self.dtype)

    def __call__(
        self, tokens: Float[Array, "b t width"], motion: Float[Array, "b k width"]
    ) -> Float[Array, "b t width"]:
        """Face tokens after one layer."""
        tokens = self.cross_attention(tokens, motion) + tokens
        tokens = self.self_attention(tokens) + tokens
        return self.ff(tokens) + tokens


class IMR(nn.Module):
    """The reconfigurator. Rows are faces; only `__call__` pairs one row with several."""

    config: IMRConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Motion net, input and output maps, the two stacks; names as in the parameter tree."""
        config = self.config
        self.motion_net = MotionNet(config, self.dtype, name="motion")
        self.norm_in = layer_norm(self.dtype)
        self.proj_in = nn.Dense(config.width, dtype=self.dtype)
        self.disentangle_layers = [
            IMRLayer(config, self.dtype, name=f"disentangle_{k}")
            for k in range(config.disentangle_depth)
        ]
        self.entangle_layers = [
            IMRLayer(config, self.dtype, name=f"entangle_{k}") for k in range(config.entangle_depth)
        ]
        self.norm_out = layer_norm(self.dtype)
        self.proj_out = nn.Dense(config.context_width, dtype=self.dtype)
        if config.null_keypoint:
            # Zeros: at the start of training "no raster" says nothing in any direction.
            shape = (config.keypoint_width,)
            self.null_feature = self.param("null_keypoint", nn.initializers.zeros_init(), shape)

    def motion(
        self, keypoints: Float[Array, "b keypoint"], text: Float[Array, "b text"]
    ) -> Float[Array, "b t width"]:
        """Equation (1): motion tokens of each row.

        Args:
            keypoints: output of the keypoint encoder, or `null_keypoint` rows.
            text: pooled text of the face prompt.
        """
        return self.motion_net(keypoints, text)

    def disentangle(
        self, tokens: Float[Array, "b t x"], motion: Float[Array, "b k width"]
    ) -> Float[Array, "b t width"]:
        """Equations (2) and (4): what remains of each face without its own motion."""
        features = self.proj_in(self.norm_in(tokens))
        for layer in self.disentangle_layers:
            features = layer(features, motion)
        return features

    def entangle(
        self, features: Float[Array, "b t width"], motion: Float[Array, "b k width"]
    ) -> Float[Array, "b t x"]:
        """Equation (5): face tokens of `features` carrying `motion`."""
        for layer in self.entangle_layers:
            features = layer(features, motion)
        return self.proj_out(self.norm_out(features))

    def null_keypoint(self) -> Float[Array, " keypoint"]:
        """The learned feature that stands for "no target raster", for edits by words only.

        Raises:
            MissingPartError: the model was built without it (published checkpoints).
        """
        if not self.config.null_keypoint:
            raise MissingPartError(
                "imr: expected null_keypoint true in its config for edits by words only; "
                "use the source's own keypoint feature with this model"
            )
        return self.null_feature

    def __call__(
        self,
        tokens: Float[Array, "1 t x"],
        source_keypoints: Float[Array, "1 keypoint"],
        source_text: Float[Array, "1 text"],
        target_keypoints: Float[Array, "m keypoint"],
        target_text: Float[Array, "m text"],
    ) -> Float[Array, "m t x"]:
        """One face under m target motions.

        Args:
            tokens: the face tokens of the source picture.
            source_keypoints: keypoint feature of the source picture.
            source_text: pooled text of the source's face prompt.
            target_keypoints: keypoint features of the m targets.
            target_text: pooled texts of the m targets' face prompts.
        """
        features = self.disentangle(tokens, self.motion(source_keypoints, source_text))
        features = jnp.broadcast_to(features, (target_text.shape[0], *features.shape[1:]))
        return self.entangle(features, self.motion(target_keypoints, target_text))
