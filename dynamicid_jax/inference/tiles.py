"""Decoding a large picture by overlapping tiles: memory of one tile, not of the picture.

    picture(x) = sum_k w_k(x) D(tile_k)(x) / sum_k w_k(x)          w falls from the middle of a tile to its edges

It is an approximation: the decoder's group norms and its attention see one tile instead of the picture, so that colours
may differ a little between tiles; the overlap blends what is left of the seams.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

OVERLAP = 4  # a tile shares at least one part in so many of its side with the next one


def starts(side: int, tile: int) -> list[int]:
    """First cells of the tiles along a side: evenly spread, the last one ends with the picture."""
    if side <= tile:
        return [0]
    count = -(-(side - tile) // (tile - tile // OVERLAP)) + 1
    return [round(index * (side - tile) / (count - 1)) for index in range(count)]


def ramp(length: int, rise: int) -> Float[np.ndarray, "{length}"]:
    """Weights along a side: from near 0 at both ends to 1 within `rise`."""
    place = np.arange(length) + 0.5
    return np.minimum(1, np.minimum(place, length - place) / rise).astype(np.float32)


def blended(
    decode: Callable[[Array], Array], latents: Float[Array, "h w c"], tile: int, scale: int
) -> Float[Array, "H W k"]:
    """One picture decoded by tiles, one after the other.

    Args:
        decode: latents of one tile to its picture, `scale` times as large.
        latents: of the whole picture.
        tile: side of a tile in cells; a shorter side of the picture is one tile.
        scale: pixels per cell.
    """
    height, width = latents.shape[:2]
    h, w = min(tile, height), min(tile, width)
    corners = np.array([(y, x) for y in starts(height, tile) for x in starts(width, tile)])
    sides = [ramp(side * scale, max(1, tile // OVERLAP) * scale) for side in (h, w)]
    weight = np.multiply.outer(*sides)[..., None]
    total = np.zeros((height * scale, width * scale, 1), np.float32)
    for y, x in corners * scale:
        total[y : y + h * scale, x : x + w * scale] += weight

    def add(canvas: Array, corner: Array) -> tuple[Array, None]:
        cells = jax.lax.dynamic_slice(latents, (*corner, 0), (h, w, latents.shape[2]))
        piece = decode(cells) * weight
        place = (*(corner * scale), 0)
        there = jax.lax.dynamic_slice(canvas, place, piece.shape)
        return jax.lax.dynamic_update_slice(canvas, there + piece, place), None

    like = jax.eval_shape(decode, jax.ShapeDtypeStruct((h, w, latents.shape[2]), latents.dtype))
    empty = jnp.zeros((*total.shape[:2], like.shape[2]), like.dtype)
    canvas, _ = jax.lax.scan(add, empty, jnp.asarray(corners, jnp.int32))
    return canvas / total
