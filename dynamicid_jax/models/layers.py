"""Convolutional layers shared by the UNet and the VAE. Everything is NHWC."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.models.convolution import convolve, convolve_doubled

SAME_3X3 = ((1, 1), (1, 1))


def conv3x3(
    channels: int,
    dtype: Any,
    stride: int = 1,
    padding: Any = SAME_3X3,
    doubles: bool = False,
) -> nn.Conv:
    """A 3 x 3 convolution with explicit padding, as checkpoints of this family use it.

    One that `doubles` first repeats every cell, so that height and width are twice as large.
    """
    return nn.Conv(
        channels,
        (3, 3),
        strides=stride,
        padding=padding,
        dtype=dtype,
        conv_general_dilated=convolve_doubled if doubles else convolve,
    )


class GroupNorm(nn.Module):
    """Group normalisation over `b h w c` with float32 statistics.

    The variance comes from the sums of x and x**2: one pass over the map, measured twice as fast on a CPU as mean and
    variance in turn.
    """

    groups: int
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Normalises, then applies the learned scale and bias in one multiply-add."""
        b, _, _, c = x.shape
        scale = self.param("scale", nn.initializers.ones, (c,)).astype(jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,)).astype(jnp.float32)
        wide = x.astype(jnp.float32)
        per_group = (b, self.groups, c // self.groups)
        mean = wide.mean((1, 2)).reshape(per_group).mean(-1, keepdims=True)
        square = jnp.square(wide).mean((1, 2)).reshape(per_group).mean(-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0) + self.epsilon)
        factor = jnp.broadcast_to(inverse, per_group).reshape(b, 1, 1, c) * scale[None, None, None]
        centre = jnp.broadcast_to(mean, per_group).reshape(b, 1, 1, c)
        return ((wide - centre) * factor + bias[None, None, None]).astype(self.dtype)


class ResnetBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, beside a shortcut; the time's shift enters between the two.

    The shift is a function of the timestep alone: `time_shift` makes it, for all steps of a sampling run at once.
    """

    in_channels: int
    channels: int
    groups: int
    epsilon: float
    timed: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.norm1 = GroupNorm(self.groups, self.epsilon, self.dtype)
        self.conv1 = conv3x3(self.channels, self.dtype)
        if self.timed:
            self.time_emb_proj = nn.Dense(self.channels, dtype=self.dtype)
        self.norm2 = GroupNorm(self.groups, self.epsilon, self.dtype)
        self.conv2 = conv3x3(self.channels, self.dtype)
        if self.in_channels != self.channels:
            self.conv_shortcut = nn.Dense(self.channels, dtype=self.dtype)

    def time_shift(self, time: Float[Array, "b e"]) -> Float[Array, "b k"]:
        """What a timed block adds to every cell, from the time embedding."""
        return self.time_emb_proj(nn.silu(time))

    def __call__(
        self, x: Float[Array, "b h w c"], shift: Float[Array, "#b k"] | None = None
    ) -> Float[Array, "b h w k"]:
        """Maps c input channels to k = `channels`; `shift` is required exactly when the block is timed."""
        hidden = self.conv1(nn.silu(self.norm1(x)))
        if shift is not None:
            hidden = hidden + shift[:, None, None]
        hidden = self.conv2(nn.silu(self.norm2(hidden)))
        shortcut = self.conv_shortcut(x) if self.in_channels != self.channels else x
        return shortcut + hidden


def as_rows(x: Float[Array, "a ..."], like: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
    """`x` over and over until it has as many rows as `like`, which has a multiple of x's."""
    times = 1 if x.shape[0] == like.shape[0] else like.shape[0] // x.shape[0]
    return x if times == 1 else jnp.tile(x, (times, *(1 for _ in x.shape[1:])))
