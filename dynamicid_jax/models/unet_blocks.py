"""Transformer, down, middle and up blocks of the UNet.

Every block that holds cross-attentions has `project(text, faces)`, which returns their contexts in the order in which
its `__call__` takes them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.models.configs import AdapterConfig
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.layers import (
    GroupNorm,
    ResnetBlock,
    as_rows,
    conv3x3,
)
from dynamicid_jax.models.semantic_attention import Context, CrossAttention, SelfAttention

RESNET_EPS = 1e-5
ROW_BLOCK = 512
IN_CACHE = 2**18  # values; up to here the hidden values of all rows stay in a CPU's cache anyway
TRANSFORMER_NORM_EPS = (
    1e-6  # checkpoints of this family use another epsilon here than in the resnets
)

REMAT = {
    "none": None,
    "blocks": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
"""What a block's backward pass keeps of its forward pass, besides the block's inputs."""

Map = Float[Array, "b h w c"]
Fewer = Float[Array, "a h w c"]  # b is a multiple of a: see UNet.denoise
Contexts = list[list[Context]]  # per spatial transformer, per transformer block
Shifts = list[Float[Array, "#b _"]]  # per resnet: what the timestep adds to its maps


class Affine(nn.Module):
    """Kernel and bias of a dense layer, for code that a Linen module cannot be called in."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, width: int) -> tuple[Array, Array]:
        """Kernel [width, features] and bias [features]."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return jnp.asarray(kernel, self.dtype), jnp.asarray(bias, self.dtype)


class FeedForward(nn.Module):
    """GEGLU with four times the width: out = W2 (a * gelu(b)), [a, b] = W1 x; the GELU is exact."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b q c"]) -> Float[Array, "b q c"]:
        """Applies both layers; on a CPU to blocks of rows, whose 8 c hidden values stay in the cache."""
        inner = Affine(8 * self.width, self.dtype, name="proj_in")(self.width)
        outer = Affine(self.width, self.dtype, name="proj_out")(4 * self.width)
        rows = x.astype(self.dtype).reshape(-1, self.width)
        count: Any = rows.shape[0]  # no number where an export leaves the batch open
        if not isinstance(count, int) or count % ROW_BLOCK or count * self.width < IN_CACHE:
            return _geglu(rows, *inner, *outer).reshape(x.shape)
        blocks = partial(_blockwise, _geglu)
        out = jax.lax.platform_dependent(rows, *inner, *outer, cpu=blocks, default=_geglu)
        return out.reshape(x.shape)


def _geglu(
    rows: Array, kernel_in: Array, bias_in: Array, kernel_out: Array, bias_out: Array
) -> Array:
    value, gate = jnp.split(rows @ kernel_in + bias_in[None], 2, axis=-1)
    return value * nn.gelu(gate, approximate=False) @ kernel_out + bias_out[None]


def _blockwise(function: Callable[..., Array], rows: Array, *weights: Array) -> Array:
    """`function` on ROW_BLOCK rows at a time (4096 queries, 320 channels, 2 cores: 76 against 103 ms)."""
    blocks = rows.reshape(-1, ROW_BLOCK, rows.shape[-1])
    return jax.lax.map(lambda block: function(block, *weights), blocks).reshape(rows.shape)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward, each normalised first and added."""

    width: int
    num_heads: int
    adapter: AdapterConfig | None = None
    dtype: Any = jnp.float32
    backend: str | None = None

    def setup(self) -> None:
        """Layers in the order of use."""
        args = (self.width, self.num_heads, self.adapter, self.dtype, self.backend)
        self.norm1 = nn.LayerNorm(1e-5, dtype=self.dtype)
        self.self_attention = SelfAttention(*args)
        self.norm2 = nn.LayerNorm(1e-5, dtype=self.dtype)
        self.cross_attention = CrossAttention(*args)
        self.norm3 = nn.LayerNorm(1e-5, dtype=self.dtype)
        self.ff = FeedForward(self.width, self.dtype)

    def __call__(
        self,
        x: Float[Array, "a q c"],
        context: Context,
        layout: FaceLayout | None,
        map_size: tuple[int, int],
    ) -> Float[Array, "b q c"]:
        """One block over the queries of a map of `h, w = map_size` cells; b, a multiple of a, as in `context`."""
        x = x + self.self_attention(self.norm1(x))
        seen = self.cross_attention.attend(self.norm2(x), context, layout, map_size)
        x = as_rows(x, seen) + seen
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the cells of a map, between two projections and beside a shortcut."""

    width: int
    num_heads: int
    depth: int
    groups: int
    adapter: AdapterConfig | None = None
    dtype: Any = jnp.float32
    backend: str | None = None

    def setup(self) -> None:
        """Norm, projections and `depth` transformer blocks."""
        self.norm = GroupNorm(self.groups, TRANSFORMER_NORM_EPS, self.dtype)
        self.proj_in = nn.Dense(self.width, dtype=self.dtype)
        self.transformer_blocks = [
            TransformerBlock(self.width, self.num_heads, self.adapter, self.dtype, self.backend)
            for _ in range(self.depth)
        ]
        self.proj_out = nn.Dense(self.width, dtype=self.dtype)

    def project(self, text: Array, faces: Array | None) -> list[Context]:
        """Contexts of the cross-attentions inside."""
        return [block.cross_attention.project(text, faces) for block in self.transformer_blocks]

    def __call__(self, x: Fewer, contexts: list[Context], layout: FaceLayout | None) -> Map:
        """Attends over all cells of the map."""
        b, h, w, c = x.shape
        hidden = self.proj_in(self.norm(x)).reshape(b, h * w, c)
        for block, context in zip(self.transformer_blocks, contexts, strict=True):
            hidden = block(hidden, context, layout, (h, w))
        out = self.proj_out(hidden).reshape(-1, h, w, c)
        return as_rows(x, out) + out


class Level(nn.Module):
    """What a block of the UNet is made of: resnets, and a transformer after each where `depth` > 0.

    `in_channels` lists every resnet's input channels (on the way up they include the skip connection).
    """

    in_channels: tuple[int, ...]
    channels: int
    depth: int
    num_heads: int
    groups: int
    resample: bool = False
    adapter: AdapterConfig | None = None
    dtype: Any = jnp.float32
    backend: str | None = None

    def make_resnets(self) -> list[ResnetBlock]:
        """One timed resnet per entry of `in_channels`."""
        return [
            ResnetBlock(width, self.channels, self.groups, RESNET_EPS, timed=True, dtype=self.dtype)
            for width in self.in_channels
        ]

    def make_attentions(self, count: int) -> list[SpatialTransformer]:
        """`count` transformers, or none where the level has no attention."""
        return [
            SpatialTransformer(
                self.channels,
                self.num_heads,
                self.depth,
                self.groups,
                self.adapter,
                self.dtype,
                self.backend,
            )
            for _ in range(count if self.depth else 0)
        ]

    def project(self, text: Array, faces: Array | None) -> Contexts:
        """Contexts of this block's transformers."""
        return [attention.project(text, faces) for attention in self.attentions]

    def time_shifts(self, time: Float[Array, "b e"]) -> Shifts:
        """What the time embedding adds in this block's resnets."""
        return [resnet.time_shift(time) for resnet in self.resnets]

    def attend(self, index: int, x: Fewer, contexts: Contexts, layout: FaceLayout | None) -> Array:
        """The transformer after resnet `index`, where there is one."""
        return self.attentions[index](x, contexts[index], layout) if self.depth else x


class DownBlock(Level):
    """Resnets with transformers, then halving; every intermediate map is kept for the way up."""

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.resnets = self.make_resnets()
        self.attentions = self.make_attentions(len(self.in_channels))
        self.downsamplers = [conv3x3(self.channels, self.dtype, stride=2)] if self.resample else []

    def __call__(
        self, x: Map, shifts: Shifts, contexts: Contexts, layout: FaceLayout | None
    ) -> tuple[Array, list[Array]]:
        """Returns the map and the skip connections in order."""
        skips = []
        for index, (resnet, shift) in enumerate(zip(self.resnets, shifts, strict=True)):
            x = self.attend(index, resnet(x, shift), contexts, layout)
            skips.append(x)
        for halve in self.downsamplers:
            x = halve(x)
            skips.append(x)
        return x, skips


class MidBlock(Level):
    """Resnet, transformer, resnet at the coarsest level."""

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.resnets = self.make_resnets()
        self.attentions = self.make_attentions(1)

    def __call__(
        self, x: Map, shifts: Shifts, contexts: Contexts, layout: FaceLayout | None
    ) -> Map:
        """Keeps size and channels."""
        x = self.attend(0, self.resnets[0](x, shifts[0]), contexts, layout)
        return self.resnets[1](x, shifts[1])


class UpBlock(Level):
    """Resnets on the map joined with its skip connection, with transformers, then doubling."""

    def setup(self) -> None:
        """Layers, named as in checkpoints."""
        self.resnets = self.make_resnets()
        self.attentions = self.make_attentions(len(self.in_channels))
        self.upsamplers = (
            [conv3x3(self.channels, self.dtype, doubles=True)] if self.resample else []
        )

    def __call__(
        self,
        x: Map,
        skips: list[Array],
        shifts: Shifts,
        contexts: Contexts,
        layout: FaceLayout | None,
    ) -> Array:
        """Joins one skip connection to each resnet's input, the last one of `skips` first."""
        parts = zip(self.resnets, skips[::-1], shifts, strict=True)
        for index, (resnet, skip, shift) in enumerate(parts):
            x = resnet(jnp.concatenate([x, as_rows(skip, x)], axis=-1), shift)
            x = self.attend(index, x, contexts, layout)
        for double in self.upsamplers:
            x = double(x)
        return x


def rematerialised(block: Any, remat: str) -> Any:
    """A block class whose backward pass computes again what the policy does not keep (see REMAT)."""
    policy = REMAT[remat]
    return block if policy is None else nn.remat(block, policy=policy)
