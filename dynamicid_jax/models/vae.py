"""SD1.5's autoencoder (AutoencoderKL): pictures to latents at 1/8 of the size, and back.

    mean, logvar = split( quant( encoder(picture) ) )        z = mean + exp(logvar / 2) * noise
    picture      = decoder( post_quant(z) )

Latents here are unscaled: diffusion works on `config.scaling_factor * z`, and the caller multiplies
and divides.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.models.attention import attend_heads
from dynamicid_jax.models.configs import VAEConfig
from dynamicid_jax.models.layers import GroupNorm, ResnetBlock, conv3x3

NORM_EPS = 1e-6
LOGVAR_RANGE = (-30.0, 20.0)  # exp(20 / 2) is the largest deviation that is still a sensible float
HALVING_PADDING = ((0, 1), (0, 1))  # below and to the right only, as in checkpoints of this family

Map = Float[Array, "b h w c"]


def resnets(
    in_channels: int, channels: int, count: int, groups: int, dtype: Any
) -> list[ResnetBlock]:
    """`count` resnet blocks without time embedding; the first one changes the channels."""
    widths = [in_channels] + [channels] * (count - 1)
    return [ResnetBlock(width, channels, groups, NORM_EPS, dtype=dtype) for width in widths]


class MapAttention(nn.Module):
    """Single-head self-attention over the cells of a map (4096 at 512 px), residual included."""

    channels: int
    groups: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Norm and the four maps."""
        self.norm = GroupNorm(self.groups, NORM_EPS, self.dtype)
        self.to_q = nn.Dense(self.channels, dtype=self.dtype)
        self.to_k = nn.Dense(self.channels, dtype=self.dtype)
        self.to_v = nn.Dense(self.channels, dtype=self.dtype)
        self.to_out = nn.Dense(self.channels, dtype=self.dtype)

    def __call__(self, x: Map) -> Map:
        """Same shape as the input."""
        b, h, w, c = x.shape
        hidden = self.norm(x).reshape(b, h * w, 1, c)
        mixed = attend_heads(self.to_q(hidden), self.to_k(hidden), self.to_v(hidden))
        return x + self.to_out(mixed.reshape(x.shape))


class MidBlock(nn.Module):
    """Resnet, attention, resnet at the coarsest level."""

    channels: int
    groups: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.resnets = resnets(self.channels, self.channels, 2, self.groups, self.dtype)
        self.attention = MapAttention(self.channels, self.groups, self.dtype)

    def __call__(self, x: Map) -> Map:
        """Keeps size and channels."""
        first, second = self.resnets
        return second(self.attention(first(x)))


class DownBlock(nn.Module):
    """Resnets, then halving except at the last level."""

    in_channels: int
    channels: int
    depth: int
    groups: int
    halve: bool
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.resnets = resnets(self.in_channels, self.channels, self.depth, self.groups, self.dtype)
        halving = conv3x3(self.channels, self.dtype, stride=2, padding=HALVING_PADDING)
        self.downsamplers = [halving] if self.halve else []

    def __call__(self, x: Map) -> Float[Array, "b h2 w2 k"]:
        """Channels become `channels`; an odd size is rounded down by the halving."""
        for layer in [*self.resnets, *self.downsamplers]:
            x = layer(x)
        return x


class UpBlock(nn.Module):
    """Resnets, then doubling except at the last level."""

    in_channels: int
    channels: int
    depth: int
    groups: int
    double: bool
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.resnets = resnets(self.in_channels, self.channels, self.depth, self.groups, self.dtype)
        self.upsamplers = [conv3x3(self.channels, self.dtype, doubles=True)] if self.double else []

    def __call__(self, x: Map) -> Float[Array, "b h2 w2 k"]:
        """Channels become `channels`."""
        for resnet in self.resnets:
            x = resnet(x)
        for double in self.upsamplers:
            x = double(x)
        return x


class Encoder(nn.Module):
    """Picture to the moments of its latents, before `quant_conv`."""

    config: VAEConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Levels from the finest to the coarsest."""
        config, widths = self.config, self.config.block_channels
        last = len(widths) - 1
        self.conv_in = conv3x3(widths[0], self.dtype)
        self.down_blocks = [
            DownBlock(
                in_channels=widths[max(level - 1, 0)],
                channels=channels,
                depth=config.layers_per_block,
                groups=config.norm_groups,
                halve=level < last,
                dtype=self.dtype,
            )
            for level, channels in enumerate(widths)
        ]
        self.mid_block = MidBlock(widths[-1], config.norm_groups, self.dtype)
        self.conv_norm_out = GroupNorm(config.norm_groups, NORM_EPS, self.dtype)
        self.conv_out = conv3x3(2 * config.latent_channels, self.dtype)

    def __call__(self, pictures: Float[Array, "b H W c"]) -> Float[Array, "b h w moments"]:
        """Moments: twice the latent channels."""
        x = self.conv_in(pictures)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(nn.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latents, after `post_quant_conv`, to a picture; one resnet per level more than before."""

    config: VAEConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Levels from the coarsest to the finest."""
        config, widths = self.config, self.config.block_channels[::-1]
        last = len(widths) - 1
        self.conv_in = conv3x3(widths[0], self.dtype)
        self.mid_block = MidBlock(widths[0], config.norm_groups, self.dtype)
        self.up_blocks = [
            UpBlock(
                in_channels=widths[max(level - 1, 0)],
                channels=channels,
                depth=config.layers_per_block + 1,
                groups=config.norm_groups,
                double=level < last,
                dtype=self.dtype,
            )
            for level, channels in enumerate(widths)
        ]
        self.conv_norm_out = GroupNorm(config.norm_groups, NORM_EPS, self.dtype)
        self.conv_out = conv3x3(config.in_channels, self.dtype)

    def __call__(self, latents: Float[Array, "b h w z"]) -> Float[Array, "b H W c"]:
        """Pictures, not clipped."""
        x = self.mid_block(self.conv_in(latents))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(nn.silu(self.conv_norm_out(x)))


class VAE(nn.Module):
    """The whole autoencoder; `encode` and `decode` are its interface."""

    config: VAEConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Both halves and the maps on the cells between them."""
        config = self.config
        self.encoder = Encoder(config, self.dtype)
        self.quant_conv = nn.Dense(2 * config.latent_channels, dtype=self.dtype)
        self.post_quant_conv = nn.Dense(config.latent_channels, dtype=self.dtype)
        self.decoder = Decoder(config, self.dtype)

    def encode(
        self, pictures: Float[Array, "b H W c"]
    ) -> tuple[Float[Array, "b h w z"], Float[Array, "b h w z"]]:
        """Mean and log variance of the unscaled latents.

        Args:
            pictures: RGB in [-1, 1]; height and width should be multiples of config.downscale
                (otherwise what is left over at the right and lower edge has no cell of its own).

        Returns:
            mean, logvar: [b, H // downscale, W // downscale, latent_channels] each; logvar in
                [-30, 20].
        """
        moments = self.quant_conv(self.encoder(pictures))
        mean, logvar = jnp.split(moments, 2, axis=-1)
        return mean, jnp.clip(logvar, *LOGVAR_RANGE)

    def decode(self, latents: Float[Array, "b h w z"]) -> Float[Array, "b H W c"]:
        """Pictures of unscaled latents, about [-1, 1] but not clipped; H = downscale * h."""
        return self.decoder(self.post_quant_conv(latents))

    def __call__(self, pictures: Float[Array, "b H W c"]) -> Float[Array, "b H2 W2 c"]:
        """Reconstruction from the mean; touches every parameter, so `init` makes them all.

        Shapes at SD1.5 size, 512 px (side x channels):
            512 x 3 -> 512 x 128 -> 256 x 128 -> 128 x 256 -> 64 x 512 -> moments 64 x 8
            latents 64 x 4 -> 64 x 512 -> 128 x 512 -> 256 x 512 -> 512 x 256 -> 512 x 128
            -> 512 x 3
        """
        return self.decode(self.encode(pictures)[0])
