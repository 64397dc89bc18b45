"""Keypoint encoder: a CNN over the 96 x 96 landmark raster (METHOD section 4).

    block:  y = ReLU( BatchNorm(conv(x) + bias) [+ x in residual blocks] )

Batch normalisation is torch's: a training step divides by the batch's biased variance, while the
running variance takes in the unbiased one, with momentum 0.1:

    y       = (x - mean) / sqrt(var + eps) * scale + bias       mean, var over batch, height, width
    running = 0.9 * running + 0.1 * statistic          statistic: mean, var * count / (count - 1)

Means over the batch axis are plain: under `jax.jit` with a sharded batch they are those of the
global batch.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import KeypointEncoderConfig

# Channels in units of the stem's, and residual blocks after the strided one.
STAGES = ((2, 2), (4, 3), (8, 2), (16, 2), (32, 1))
MOMENTUM = 0.1
NORM_EPS = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation as above; running statistics in collection "batch_stats"."""

    channels: int

    def setup(self) -> None:
        """Scale and bias, running mean and variance: all float32."""
        shape = (self.channels,)
        self.scale = self.param("scale", nn.initializers.ones_init(), shape)
        self.bias = self.param("bias", nn.initializers.zeros_init(), shape)
        self.running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        self.running_var = self.variable("batch_stats", "var", jnp.ones, shape)

    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        """Normalised maps; `train`: by the batch's statistics, which move the running ones."""
        values = x.astype(jnp.float32)
        mean, var = self._batch_statistics(values) if train else self._running_statistics()
        factor = self.scale * jax.lax.rsqrt(var + NORM_EPS)
        y = (values - mean[None, None, None]) * factor[None, None, None]
        return (y + self.bias[None, None, None]).astype(x.dtype)

    def _running_statistics(self) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        return self.running_mean.value, self.running_var.value

    def _batch_statistics(
        self, values: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        count = values.shape[0] * values.shape[1] * values.shape[2]
        if count < 2:
            raise InputError(
                "raster: one raster has no batch statistics, expected 2 or more in training; "
                "enlarge the global batch"
            )
        mean = values.mean(axis=(0, 1, 2))
        var = jnp.square(values - mean[None, None, None]).mean(axis=(0, 1, 2))
        if not self.is_initializing():
            self._move(self.running_mean, mean)
            self._move(self.running_var, var * (count / (count - 1)))
        return mean, var

    @staticmethod
    def _move(running: nn.Variable, statistic: Float[Array, " c"]) -> None:
        # Statistics are observations, not part of the loss: no gradient through them.
        statistic = jax.lax.stop_gradient(statistic)
        running.value = (1 - MOMENTUM) * running.value + MOMENTUM * statistic


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, the input again in a residual block, ReLU."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    residual: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Convolution and norm."""
        self.conv = nn.Conv(
            self.channels,
            (self.kernel, self.kernel),
            strides=self.stride,
            padding=self.padding,
            dtype=self.dtype,
        )
        self.norm = BatchNorm(self.channels)

    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Maps after the block: h2 = (h + 2 padding - kernel) // stride + 1."""
        y = self.norm(self.conv(x), train)
        return jax.nn.relu(y + x if self.residual else y)


class KeypointEncoder(nn.Module):
    """Landmark raster to one feature vector, the keypoint half of a face's motion."""

    config: KeypointEncoderConfig
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Stem, five strided stages, and a head that reduces the last 3 x 3 map to one vector."""

        def block(channels: int, kernel: int, **options: Any) -> ConvBlock:
            return ConvBlock(channels, kernel, dtype=self.dtype, **options)

        unit = self.config.stem_channels
        stem = [block(unit, 7, padding=3)]
        stages = [
            [block(unit * times, 3, stride=2, padding=1)]
            + [block(unit * times, 3, padding=1, residual=True) for _ in range(count)]
            for times, count in STAGES
        ]
        head = [block(unit * STAGES[-1][0], 3), block(self.config.width, 1)]
        self.blocks = [stem, *stages, head]

    def __call__(
        self, raster: Float[Array, "b 96 96 1"], train: bool = False
    ) -> Float[Array, "b width"]:
        """Keypoint features, not negative (the last block ends in ReLU too).

        Args:
            raster: landmark pictures, -1 with +1 at the landmarks.
            train: normalise by the batch and move the running statistics; "batch_stats" must then
                be mutable.

        Raises:
            InputError: `train` with a single raster.
        """
        x = raster.astype(self.dtype)
        for stage in self.blocks:
            for block in stage:
                x = block(x, train)
        # 96 -> stem 96 -> 48 -> 24 -> 12 -> 6 -> 3 -> head 1
        return x.reshape(x.shape[0], -1)
