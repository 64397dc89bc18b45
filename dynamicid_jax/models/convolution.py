"""3 x 3 convolutions, with ways of their own on a CPU, where XLA's convolution is the UNet's bottleneck.

Other backends get `lax.conv_general_dilated`. Measured on 2 cores, batch 2, float32:

    map, channels            XLA      here
    64 x 64, 640 -> 320      128 ms    77 ms   Winograd
    32 x 32, 1920 -> 640     203 ms   106 ms   Winograd
    16 x 16, 1280 -> 1280     92 ms    61 ms   one matrix product of patches
     8 x 8, 2560 -> 1280     102 ms    34 ms   one matrix product of patches

Winograd's F(2x2, 3x3) (arXiv 1509.09308) makes each 2 x 2 cells of the output from 4 x 4 of the input:

    Y = A^T [ (G g G^T) * (B^T d B) ] A,    the product * summed over input channels

with 16 multiplications where the definition has 36. Its rounding error is about 1e-6 of the output.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SMALL_MAP = 256  # cells; up to here one product of patches wins
LARGE_MAP = 128 * 128  # beyond, the sixteen transformed maps would cost more memory than time saved
WIDE = 128  # channels; below, little is saved, and every branch on the backend is compiled


def convolve(x: Array, kernel: Array, strides: Any, padding: Any, **options: Any) -> Array:
    """`lax.conv_general_dilated` for `b h w c` and HWIO, in whichever way suits the backend and the sizes."""

    def plain(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)

    _, h, w, c = x.shape
    if min(c, kernel.shape[3]) < WIDE:
        return plain(x, kernel)
    if h * w <= SMALL_MAP and not isinstance(padding, str):
        way = lambda x, kernel: _patches(x, kernel, strides, padding)  # noqa: E731
    elif (
        kernel.shape[:2] == (3, 3)
        and tuple(strides) == (1, 1)
        and tuple(padding) == ((1, 1), (1, 1))
        and h % 2 == w % 2 == 0
        and h * w <= LARGE_MAP
    ):
        way = _winograd
    else:
        return plain(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=way, default=plain)


def _patches(x: Array, kernel: Array, strides: Any, padding: Any) -> Array:
    """Every output cell's patch as a row, times the kernel as a matrix."""
    height, width, c, k = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    steps = (slice(None), slice(None, None, strides[0]), slice(None, None, strides[1]))
    shifted = [
        x[:, i : i + rows, j : j + columns][steps] for i in range(height) for j in range(width)
    ]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(height * width * c, k)


def _winograd(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c k"]
) -> Float[Array, "b h w k"]:
    """Stride 1, padding 1, even height and width."""
    b, h, w, c = x.shape
    k = kernel.shape[3]
    # Zero, but never known to XLA: a kernel that is the same at every step of a sampler would be transformed before its
    # loop, and all of SD1.5's kept through it (0.54 GB, for 1 % of a step's time).
    kernel = kernel + 0 * jax.lax.stop_gradient(x[0, 0, 0, 0])
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    tiles = [
        [x[:, i : i + h - 1 : 2, j : j + w - 1 : 2].reshape(-1, c) for j in range(4)]
        for i in range(4)
    ]
    inputs = _both_ways(_input_transform, tiles)
    weights = _both_ways(_kernel_transform, [[kernel[i, j] for j in range(3)] for i in range(3)])
    products = [[inputs[i][j] @ weights[i][j] for j in range(4)] for i in range(4)]
    cells = _both_ways(_output_transform, products)
    rows = [jnp.stack([cell.reshape(b, h // 2, w // 2, k) for cell in row], 3) for row in cells]
    return jnp.stack(rows, 2).reshape(b, h, w, k)


def _both_ways(transform: Any, grid: Sequence[Sequence[Array]]) -> Sequence[Sequence[Array]]:
    """A one-dimensional transform along the columns of a grid, then along its rows."""
    down = [transform(*column) for column in zip(*grid, strict=True)]
    return [transform(*row) for row in zip(*down, strict=True)]


def _input_transform(d0: Array, d1: Array, d2: Array, d3: Array) -> tuple[Array, ...]:
    """B^T d."""
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


def _kernel_transform(g0: Array, g1: Array, g2: Array) -> tuple[Array, ...]:
    """G g."""
    return g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2


def _output_transform(m0: Array, m1: Array, m2: Array, m3: Array) -> tuple[Array, ...]:
    """A^T m."""
    return m0 + m1 + m2, m1 - m2 - m3
