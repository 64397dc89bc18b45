"""The text-to-image UNet: predicts the noise (or v) of noisy latents from text, faces and layout.

    latents [b h w 4] -> conv_in -> down blocks -> mid block -> up blocks -> conv_out -> [b h w 4]

`project` makes every cross-attention's keys and values once per picture (or once per training step), `embed_time` every
resnet's shift for all timesteps of a run; `denoise` uses them at every timestep; `__call__` is the three in a row.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from dynamicid_jax.models.configs import AdapterConfig, UNetConfig
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.layers import GroupNorm, conv3x3
from dynamicid_jax.models.unet_blocks import (
    RESNET_EPS,
    Contexts,
    DownBlock,
    MidBlock,
    Shifts,
    UpBlock,
    rematerialised,
)

AllContexts = dict[str, list[Contexts]]
AllShifts = dict[str, list[Shifts]]


def timestep_embedding(timestep: Num[Array, " b"], width: int) -> Float[Array, "b {width}"]:
    """[cos, sin] of the timestep at `width`/2 frequencies from 1 down to 1/10000 (DDPM appendix B)."""
    half = width // 2
    frequencies = jnp.exp(-math.log(10000) / half * jnp.arange(half, dtype=jnp.float32))
    angles = timestep.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class TimeEmbedding(nn.Module):
    """Two layers on the sinusoids."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b f"]) -> Float[Array, "b e"]:
        """E = `width`."""
        hidden = nn.silu(nn.Dense(self.width, dtype=self.dtype, name="linear_1")(x))
        return nn.Dense(self.width, dtype=self.dtype, name="linear_2")(hidden)


class UNet(nn.Module):
    """UNet with Semantic-Activated Attention.

    Without an `adapter` it is the plain text-to-image UNet, with the same parameters in "params"; the
    adapter's own are in the collection "adapter". `remat` trades memory for arithmetic in training (unet_blocks.REMAT);
    `backend` lets a program for one device use that backend's own kernels (attention.attend_heads).
    """

    config: UNetConfig = UNetConfig()
    adapter: AdapterConfig | None = None
    dtype: Any = jnp.float32
    remat: str = "none"
    backend: str | None = None

    def setup(self) -> None:
        """Blocks from finest to coarsest and back, named as in checkpoints."""
        config, widths = self.config, self.config.block_channels
        self.conv_in = conv3x3(widths[0], self.dtype)
        self.time_embedding = TimeEmbedding(4 * widths[0], self.dtype)
        self.down_blocks = [
            self._level(DownBlock, level, inputs)
            for level, inputs in enumerate(down_inputs(config))
        ]
        self.mid_block = rematerialised(MidBlock, self.remat)(
            (widths[-1], widths[-1]),
            widths[-1],
            config.mid_transformer_depth,
            config.num_heads[-1],
            config.norm_groups,
            adapter=self.adapter,
            dtype=self.dtype,
            backend=self.backend,
        )
        self.up_blocks = [
            self._level(UpBlock, len(widths) - 1 - index, inputs)
            for index, inputs in enumerate(up_inputs(config))
        ]
        self.conv_norm_out = GroupNorm(config.norm_groups, RESNET_EPS, self.dtype)
        self.conv_out = conv3x3(config.out_channels, self.dtype)

    def _level(self, block: Callable[..., Any], level: int, inputs: tuple[int, ...]) -> Any:
        config = self.config
        last = 0 if block is UpBlock else len(config.block_channels) - 1
        return rematerialised(block, self.remat)(
            inputs,
            config.block_channels[level],
            config.transformer_depth[level],
            config.num_heads[level],
            config.norm_groups,
            resample=level != last,
            adapter=self.adapter,
            dtype=self.dtype,
            backend=self.backend,
        )

    def project(
        self, text: Float[Array, "b l x"], faces: Float[Array, "b p t x"] | None = None
    ) -> AllContexts:
        """Keys and values of every cross-attention, for text states and (optionally) people's face tokens."""
        return {
            "down": [block.project(text, faces) for block in self.down_blocks],
            "mid": [self.mid_block.project(text, faces)],
            "up": [block.project(text, faces) for block in self.up_blocks],
        }

    def embed_time(self, timestep: Num[Array, " b"]) -> AllShifts:
        """What every resnet adds to its maps at `timestep` in [0, 1000): arrays of b rows."""
        time = self.time_embedding(timestep_embedding(timestep, self.config.block_channels[0]))
        return {
            "down": [block.time_shifts(time) for block in self.down_blocks],
            "mid": [self.mid_block.time_shifts(time)],
            "up": [block.time_shifts(time) for block in self.up_blocks],
        }

    def denoise(
        self,
        latents: Float[Array, "a h w k"],
        shifts: AllShifts,
        contexts: AllContexts,
        layout: FaceLayout | None = None,
    ) -> Float[Array, "b h w k"]:
        """Network output for noisy latents, in float32; `shifts` have a row per picture, or one for all.

        Contexts of b rows, a multiple of a, are used on the latents over and over. All before the first
        cross-attention is then computed once (SD1.5 at 512 px: 2.6 % of a guided step's arithmetic).
        """
        x = self.conv_in(latents.astype(self.dtype))
        skips = [x]
        for block, shift, context in zip(
            self.down_blocks, shifts["down"], contexts["down"], strict=True
        ):
            x, more = block(x, shift, context, layout)
            skips += more
        x = self.mid_block(x, shifts["mid"][0], contexts["mid"][0], layout)
        for block, shift, context in zip(self.up_blocks, shifts["up"], contexts["up"], strict=True):
            used = len(skips) - len(block.in_channels)
            x = block(x, skips[used:], shift, context, layout)
            skips = skips[:used]
        x = self.conv_out(nn.silu(self.conv_norm_out(x)))
        return x.astype(jnp.float32)

    def __call__(
        self,
        latents: Float[Array, "b h w k"],
        timestep: Num[Array, " b"],
        text: Float[Array, "b l x"],
        faces: Float[Array, "b p t x"] | None = None,
        layout: FaceLayout | None = None,
    ) -> Float[Array, "b h w k"]:
        """`embed_time` and `project`, then `denoise`."""
        contexts = self.project(text, faces)
        return self.denoise(latents, self.embed_time(timestep), contexts, layout)

    # Shapes at SD1.5 size, 512 px:  64x64x320 -> 32x32x640 -> 16x16x1280 -> 8x8x1280 -> mid 8x8x1280 -> and back.
    # Cross-attentions: 2 on each of three down levels, 1 in the middle, 3 on each of three up levels: 16.


def down_inputs(config: UNetConfig) -> list[tuple[int, ...]]:
    """Input channels of every resnet on the way down, per level."""
    widths, repeats = config.block_channels, config.layers_per_block - 1
    before = (widths[0], *widths[:-1])
    return [(first, *[width] * repeats) for first, width in zip(before, widths, strict=True)]


def up_inputs(config: UNetConfig) -> list[tuple[int, ...]]:
    """Input channels of every resnet on the way up (map + skip connection), coarsest level first."""
    widths = config.block_channels
    skips = [widths[0]]
    for level, width in enumerate(widths):
        skips += [width] * (config.layers_per_block + (level < len(widths) - 1))
    inputs, current = [], widths[-1]
    for width in reversed(widths):
        level_inputs = []
        for _ in range(config.layers_per_block + 1):
            level_inputs.append(current + skips.pop())
            current = width
        inputs.append(tuple(level_inputs))
    return inputs
