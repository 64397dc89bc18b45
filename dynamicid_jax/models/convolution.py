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
from jax.custom_batching import custom_vmap
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


def convolve_doubled(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "3 3 c k"],
    strides: Any,
    padding: Any,
    **options: Any,
) -> Float[Array, "b 2*h 2*w k"]:
    """`convolve` of a map that is first doubled by repeating cells; stride and padding are 1."""

    def plain(x: Array, kernel: Array) -> Array:
        return convolve(upsample_nearest(x), kernel, strides, padding, **options)

    _, h, w, c = x.shape
    if min(c, kernel.shape[3]) < WIDE or 4 * h * w > LARGE_MAP:
        return plain(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=_nine_products, default=plain)


def upsample_nearest(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Doubles height and width by repeating cells."""
    b, h, w, c = x.shape
    tiled = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return tiled.reshape(b, 2 * h, 2 * w, c)


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
    kernel = _anew_each_step(kernel, x)
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


def _anew_each_step(kernel: Array, x: Array) -> Array:
    """The kernel, plus what XLA cannot know to be zero and takes for part of the map."""
    return kernel + _zero(jax.lax.stop_gradient(x)).astype(kernel.dtype)


@custom_vmap
def _zero(x: Array) -> Array:
    """False, but XLA cannot know that: a kernel plus this is another kernel at every step of a sampler's loop.

    Otherwise XLA would transform all kernels before the loop and keep them through it (SD1.5: 0.54 GB, for 1 % of a
    step's time).
    """
    return x.ravel()[0] < -jnp.inf


@_zero.def_vmap
def _zero_of_many(size: int, batched: Sequence[bool], x: Array) -> tuple[Array, bool]:
    """One for all requests, whose kernel is the same."""
    return _zero(x[0]), False


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


def _nine_products(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c k"]
) -> Float[Array, "b 2*h 2*w k"]:
    """The convolution of the doubled map, with 2.25 products per output cell in the place of 9.

    Along one axis, with steps d_i = x_i+1 - x_i:

        y_2i = (g0 + g1 + g2) x_i - g0 d_i-1        y_2i+1 = (g0 + g1 + g2) x_i + g2 d_i
    """
    b, h, w, c = x.shape
    k = kernel.shape[3]
    kernel = _anew_each_step(kernel, x)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [_cells_and_steps(part, axis=2) for part in _cells_and_steps(x, axis=1)]
    weights = _both_ways(_sums, [[kernel[i, j] for j in range(3)] for i in range(3)])
    products = [
        [
            (part.reshape(-1, c) @ weight).reshape(b, h, w, k)
            for part, weight in zip(*row, strict=True)
        ]
        for row in zip(parts, weights, strict=True)
    ]
    cells = _both_ways(_doubled, products)
    return jnp.stack([jnp.stack(row, 3) for row in cells], 2).reshape(b, 2 * h, 2 * w, k)


def _cells_and_steps(x: Array, axis: int) -> tuple[Array, Array, Array]:
    """x_i, and the steps to it and from it, of a map with a border along `axis`."""
    before, here, after = (
        jax.lax.slice_in_dim(x, start, x.shape[axis] - 2 + start, axis=axis) for start in range(3)
    )
    return here, here - before, after - here


def _sums(g0: Array, g1: Array, g2: Array) -> tuple[Array, ...]:
    return g0 + g1 + g2, g0, g2


def _doubled(here: Array, step_to: Array, step_from: Array) -> tuple[Array, Array]:
    return here - step_to, here + step_from
