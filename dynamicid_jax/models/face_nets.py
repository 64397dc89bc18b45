"""The face pack's small networks, and the two that judge: Linen modules, NHWC, RGB in about [-1, 1].

    part               sees                                    gives
    detector           160 x 160, a whole picture              score, box, five points at strides 8, 16, 32
    recogniser         112 x 112, an aligned face              512 numbers, to be normalised
    landmarks          192 x 192, 1.5 times the face box       106 points in [-1, 1]
    judge_recogniser   112 x 112, an aligned face              512 numbers, to be normalised
    judge_motion       64 x 64, 1.5 times the face box         7 expressions, 7 turns (logits)

The pack's networks are convolutional, the judges are transformers over patches: a judge must not share the weaknesses
of what it judges. Everything normalises by groups or layers, so that no running statistics have to be kept.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.models.convolution import upsample_nearest
from dynamicid_jax.models.face_configs import (
    EXPRESSIONS,
    LANDMARKS,
    TURNS,
    DetectorConfig,
    FaceConvConfig,
    FaceNetsConfig,
    FacePatchConfig,
)
from dynamicid_jax.models.layers import GroupNorm

STRIDES = (8, 16, 32)
ANCHORS = 2  # per cell, as SCRFD's readers expect
NORM_EPS = 1e-5


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x))))))."""

    channels: int
    groups: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Same shape."""
        hidden = x
        for _ in range(2):
            hidden = nn.relu(GroupNorm(self.groups, NORM_EPS, self.dtype)(hidden))
            hidden = nn.Conv(self.channels, (3, 3), use_bias=False, dtype=self.dtype)(hidden)
        return x + hidden


class Trunk(nn.Module):
    """Patches of `stem` pixels, then stages of residual blocks, each at half the resolution of the one before."""

    config: FaceConvConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> list[Float[Array, "b ..."]]:
        """The map of every stage, normalised, fine to coarse."""
        config, maps = self.config, []
        side = config.stem
        x = nn.Conv(config.channels[0], (side, side), side, dtype=self.dtype)(x)
        for number, (channels, blocks) in enumerate(
            zip(config.channels, config.blocks, strict=True)
        ):
            if number:
                x = nn.Conv(channels, (2, 2), 2, dtype=self.dtype)(x)
            for _ in range(blocks):
                x = ResidualBlock(channels, config.groups, self.dtype)(x)
            maps.append(nn.relu(GroupNorm(config.groups, NORM_EPS, self.dtype)(x)))
        return maps


class FaceRegressor(nn.Module):
    """A trunk and one linear map of its coarsest stage: the recogniser and the landmark network."""

    config: FaceConvConfig
    outputs: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b o"]:
        """`outputs` numbers per picture, float32."""
        last = Trunk(self.config, self.dtype)(x)[-1]
        narrow = nn.Conv(self.config.neck, (1, 1), dtype=self.dtype)(last)
        flat = narrow.reshape(narrow.shape[0], -1)
        return nn.Dense(self.outputs, dtype=self.dtype)(flat).astype(jnp.float32)


class Detector(nn.Module):
    """Faces at strides 8, 16 and 32, in the layout of SCRFD (equation (1) of training/detection.py)."""

    config: DetectorConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> list[tuple[Array, Array, Array]]:
        """For every stride: logits [b n], distances [b n 4] and offsets of points [b n 10] in strides.

        n counts cells row by row, each with its two anchors.
        """
        maps = Trunk(self.config.trunk, self.dtype)(x)[-len(STRIDES) :]
        width = self.config.width
        wide = [nn.Conv(width, (1, 1), dtype=self.dtype)(one) for one in maps]
        for level in range(len(wide) - 2, -1, -1):  # the coarse ones tell the fine ones
            wide[level] = wide[level] + upsample_nearest(wide[level + 1])
        return [self._head(one) for one in wide]

    def _head(self, x: Array) -> tuple[Array, Array, Array]:
        x = nn.relu(nn.Conv(self.config.width, (3, 3), dtype=self.dtype)(x))
        x = nn.relu(GroupNorm(self.config.trunk.groups, NORM_EPS, self.dtype)(x))
        per = 1 + 4 + 10
        out = nn.Conv(ANCHORS * per, (1, 1), dtype=self.dtype, bias_init=_rare)(x)
        cells = out.shape[1] * out.shape[2] * ANCHORS
        flat = out.astype(jnp.float32).reshape(out.shape[0], cells, per)
        return flat[..., 0], jax.nn.softplus(flat[..., 1:5]), flat[..., 5:]


def _rare(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Bias of a head: few cells hold a face, so scores start at 1 % (focal loss, arXiv 1708.02002 section 4.1)."""
    per = jnp.zeros(shape[0] // ANCHORS, dtype).at[0].set(-4.6)
    return jnp.tile(per, ANCHORS)


class PatchTransformer(nn.Module):
    """A small vision transformer with a linear map of its mean token."""

    config: FacePatchConfig
    outputs: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b o"]:
        """`outputs` numbers per picture, float32."""
        config, side = self.config, self.config.patch
        x = nn.Conv(config.width, (side, side), side, dtype=self.dtype)(x)
        x = x.reshape(x.shape[0], -1, config.width)
        places = self.param("places", nn.initializers.normal(0.02), x.shape[1:])
        x = x + places[None].astype(self.dtype)
        for _ in range(config.depth):
            x = x + _Attention(config.width, config.heads, self.dtype)(_norm(self.dtype)(x))
            hidden = nn.Dense(config.mlp, dtype=self.dtype)(_norm(self.dtype)(x))
            x = x + nn.Dense(config.width, dtype=self.dtype)(nn.gelu(hidden))
        mean = _norm(self.dtype)(x).mean(1)
        return nn.Dense(self.outputs, dtype=self.dtype)(mean).astype(jnp.float32)


def _norm(dtype: Any) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=NORM_EPS, dtype=dtype)


class _Attention(nn.Module):
    """Self-attention of `heads` heads."""

    width: int
    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b l c"]) -> Float[Array, "b l c"]:
        parts = nn.Dense(3 * self.width, dtype=self.dtype)(x)
        parts = parts.reshape(x.shape[0], x.shape[1], 3, self.heads, -1)
        query, key, value = (parts[:, :, i] for i in range(3))
        logits = jnp.einsum("bqnd,bknd->bnqk", query, key) * query.shape[-1] ** -0.5
        mixed = jnp.einsum("bnqk,bknd->bqnd", jax.nn.softmax(logits, -1), value)
        return nn.Dense(self.width, dtype=self.dtype)(mixed.reshape(x.shape))


def face_net(config: FaceNetsConfig, part: str, dtype: Any = jnp.float32) -> nn.Module:
    """The module of one of `face_configs.PARTS`."""
    if part == "detector":
        return Detector(config.detector, dtype)
    if part == "recogniser":
        return FaceRegressor(config.recogniser, config.embedding, dtype)
    if part == "landmarks":
        return FaceRegressor(config.landmarks, 2 * LANDMARKS, dtype)
    if part == "judge_recogniser":
        return PatchTransformer(config.judge_recogniser, config.embedding, dtype)
    return PatchTransformer(config.judge_motion, EXPRESSIONS + TURNS, dtype)


def seen_size(config: FaceNetsConfig, part: str) -> int:
    """Side of the picture that a part sees."""
    return config.detector.trunk.size if part == "detector" else getattr(config, part).size
