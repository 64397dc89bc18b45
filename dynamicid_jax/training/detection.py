"""Which cells of a detector are to find which face, and what a miss costs.

Cell (i, j) of stride s looks at the pixel c = s (j, i), in SCRFD's layout; with its scores p, distances d (left, top,
right, bottom) and offsets o of five points, both in strides:

    box = (c - s d[:2], c + s d[2:])        point k = c + s o[k]                                     (1)
    size = sqrt(width height);   a cell's anchor a has a base size B                                 (2)
    right size        | log2(size / B) | < log2(1.5)
    found here        right size, and max |c - middle| < max(size / 5, 0.75 s)      target 1
    left alone        size within a factor 2.3 and max |c - middle| < 0.45 size, but not found here
    elsewhere         target 0

    L = focal(p, target) / found + (1 - GIoU(box)) + |point - truth| / size,  the last two over cells that find     (3)

Focal loss: arXiv 1708.02002; GIoU: arXiv 1902.09630. All places are pixels of the network's input.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dynamicid_jax.models.face_nets import ANCHORS, STRIDES

BASES = ((12.0, 20.0), (32.0, 48.0), (72.0, 108.0))  # pixels, by stride and anchor
_RIGHT, _NEAR = np.log2(1.5), np.log2(2.3)
_POSITIVE_SHARE, _GAMMA = 0.5, 2.0  # of the focal loss


def cells(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel [n 2], stride [n] and base size [n] of every cell and anchor of a size x size picture."""
    centres, strides, bases = [], [], []
    for stride, base in zip(STRIDES, BASES, strict=True):
        ticks = np.arange(size // stride) * stride
        x, y = np.meshgrid(ticks, ticks)
        grid = np.stack([x, y], -1).reshape(-1, 2).repeat(ANCHORS, 0)
        centres.append(grid)
        strides.append(np.full(len(grid), stride))
        bases.append(np.tile(base, len(grid) // ANCHORS))
    return tuple(np.concatenate(part).astype(np.float32) for part in (centres, strides, bases))  # type: ignore[return-value]


def assign(
    boxes: Float[Array, "b p 4"], size: int
) -> tuple[Bool[Array, "b n"], Bool[Array, "b n"], Int[Array, "b n"]]:
    """Cells that find a face, cells that are left alone, and the face that each is nearest to.

    Args:
        boxes: pixels; of size 0 where nobody is. Faces whose middle lies outside the picture are left alone.
        size: of the picture.
    """
    centre, stride, base = (jnp.asarray(part)[None] for part in cells(size))
    extent = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    sizes = jnp.sqrt(extent[..., 0] * extent[..., 1])[:, None]  # b 1 p
    middle = (boxes[..., :2] + boxes[..., 2:])[:, None] * 0.5
    away = jnp.abs(centre[:, :, None] - middle).max(-1)  # b n p
    off = jnp.abs(jnp.log2(jnp.maximum(sizes, 1e-3) / base[..., None]))
    inside = ((middle > 0) & (middle < size)).all(-1)
    reach = jnp.maximum(sizes / 5, 0.75 * stride[..., None])
    found = (off < _RIGHT) & (away < reach) & inside
    near = (off < _NEAR) & (away < 0.45 * sizes)
    nearest = jnp.where(found, away, jnp.inf).argmin(-1)
    return found.any(-1), near.any(-1) & ~found.any(-1), nearest


def detection_rows(
    outputs: list[tuple[Array, Array, Array]],
    boxes: Float[Array, "b p 4"],
    points: Float[Array, "b p 5 2"],
    size: int,
) -> tuple[Float[Array, " b"], dict[str, Array]]:
    """(3) per picture, and its parts.

    Args:
        outputs: of models.face_nets.Detector.
        boxes: pixels; of size 0 where nobody is.
        points: pixels.
        size: of the pictures.
    """
    logits, distances, offsets = (jnp.concatenate(part, 1) for part in zip(*outputs, strict=True))
    centre, stride, _ = (jnp.asarray(part)[None] for part in cells(size))
    found, alone, face = assign(boxes, size)
    own_box = jnp.take_along_axis(boxes, face[..., None], 1)
    flat = points.reshape(*points.shape[:2], 10)
    own_points = jnp.take_along_axis(flat, face[..., None], 1)
    reached = stride[..., None] * distances
    box = jnp.concatenate([centre - reached[..., :2], centre + reached[..., 2:]], -1)
    placed = jnp.tile(centre, (1, 1, 5)) + stride[..., None] * offsets
    extent = jnp.sqrt(jnp.maximum(_area(own_box), 1.0))
    finds = found.astype(jnp.float32)
    count = jnp.maximum(finds.sum(1), 1.0)
    focal = (_focal(logits, finds) * ~alone).sum(1) / count
    overlap = (giou(box, own_box) * finds).sum(1) / count
    apart = (jnp.abs(placed - own_points).mean(-1) / extent * finds).sum(1) / count
    anyone = (finds.sum(1) > 0).astype(jnp.float32)
    hit = (logits > 0) & found
    metrics = {
        "found": hit.sum() / jnp.maximum(found.sum(), 1),
        "giou": (overlap * anyone).sum() / jnp.maximum(anyone.sum(), 1),
        "points": (apart * anyone).sum() / jnp.maximum(anyone.sum(), 1),
        "false": ((logits > 0) & ~found & ~alone).sum() / found.shape[0],
    }
    return focal + (1 - overlap) * anyone + apart, metrics


def _focal(logits: Float[Array, "b n"], target: Float[Array, "b n"]) -> Float[Array, "b n"]:
    p = jax.nn.sigmoid(logits)
    wrong = jnp.where(target > 0, 1 - p, p)
    share = jnp.where(target > 0, _POSITIVE_SHARE, 1 - _POSITIVE_SHARE)
    cross = jax.nn.softplus(jnp.where(target > 0, -logits, logits))
    return share * wrong**_GAMMA * cross


def _area(box: Float[Array, "*s 4"]) -> Float[Array, "*s"]:
    extent = jnp.maximum(box[..., 2:] - box[..., :2], 0)
    return extent[..., 0] * extent[..., 1]


def giou(one: Float[Array, "*s 4"], other: Float[Array, "*s 4"]) -> Float[Array, "*s"]:
    """Generalised intersection over union of boxes x0, y0, x1, y1: -1 to 1."""
    low, high = jnp.maximum(one[..., :2], other[..., :2]), jnp.minimum(one[..., 2:], other[..., 2:])
    shared = _area(jnp.concatenate([low, high], -1))
    union = _area(one) + _area(other) - shared
    low, high = jnp.minimum(one[..., :2], other[..., :2]), jnp.maximum(one[..., 2:], other[..., 2:])
    hull = _area(jnp.concatenate([low, high], -1))
    return shared / jnp.maximum(union, 1e-6) - (hull - union) / jnp.maximum(hull, 1e-6)
