"""Which shirt and which background a picture shows, by colour alone; nearest medians, fitted on drawn pictures.

Background: the picture's mean colours c on an 8 x 8 grid, upper three rows, without the cells whose middle lies in a
face box grown 1.3 times. With m_k the medians of the training pictures with background k, cell by cell,

    background = argmin_k  Q_25 over the cells of |c - m_k|^2

The first quartile, not the mean: hair covers many of the cells, and a background shows in the others.

Shirt: two patches beside the collar, below a face box of middle x and height h, width w: from 1.28 h to 1.55 h below
its upper edge (or the picture's lower edge) and from 0.25 w to 0.5 w on either side of x. With s the median colours of
the patches and m_k as above,

    shirt = argmin_k  min over both patches of |s - m_k|^2

The better of the two, since hair may hide one. A neighbour's shirt does worse: it shows a colour of its own, and the
purer one would win. So whoever has neighbours on one side only is judged by the patch on the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from dynamicid_jax.evaluation.contents import draw, random_content
from dynamicid_jax.world.scene import BACKGROUNDS, MAX_PEOPLE, SHIRTS

GRID, ROWS = 8, 3
GROWN = 1.3  # face boxes, where faces are to be left out
PICTURES = 900  # drawn to fit on: about 90 of a background, 225 of a shirt
_UPPER, _LOWER, _INNER, _OUTER = 1.28, 1.55, 0.25, 0.5

FaceBox = Float[np.ndarray, "4"]
"""x0, y0, x1, y1 in fractions of the picture; may pass its edges."""


@dataclass(frozen=True, eq=False)
class Colours:
    """Both classifiers."""

    backgrounds: Float[np.ndarray, "backgrounds rows grid 3"]
    shirts: Float[np.ndarray, "shirts sides 3"]

    def background(self, picture: UInt8[np.ndarray, "h w 3"], boxes: Sequence[FaceBox]) -> int:
        """The background's number in scene.BACKGROUNDS."""
        seen = outside(boxes, (GRID, GRID))[:ROWS]
        if not seen.any():
            seen = np.ones_like(seen)
        away = ((_grid(picture)[None] - self.backgrounds) ** 2).sum(-1)[:, seen]
        return int(np.quantile(away, 0.25, axis=1).argmin())

    def shirt(
        self, picture: UInt8[np.ndarray, "h w 3"], box: FaceBox, others: Sequence[FaceBox] = ()
    ) -> int:
        """The number in scene.SHIRTS of the shirt below a face, with the other faces' boxes beside it."""
        away = ((_patches(picture, box)[None] - self.shirts) ** 2).sum(-1)
        on_the_right = {bool(other[0] + other[2] > box[0] + box[2]) for other in others}
        if on_the_right == {True}:
            away = away[:, :1]
        elif on_the_right == {False}:
            away = away[:, 1:]
        return int(away.min(1).argmin())


def fit_colours(size: int, pictures: int = PICTURES) -> Colours:
    """Fits on drawn people of the split `train`, with their true face boxes; the same every time.

    Args:
        size: side of the pictures to be judged, in pixels.
        pictures: how many are drawn.
    """
    dice = np.random.default_rng(0)
    contents = [
        random_content(
            range(MAX_PEOPLE * i, MAX_PEOPLE * i + 1 + i % MAX_PEOPLE), dice, split="train"
        )
        for i in range(pictures)
    ]
    drawn = draw(contents, size)
    grids = np.stack([_grid(one.pixels) for one in drawn])
    kinds = np.array([one.background for one in contents])
    patches: list[np.ndarray] = []
    shirts: list[int] = []
    for content, one in zip(contents, drawn, strict=True):
        patches += [_patches(one.pixels, box) for box in one.truth.box[: len(content.people)]]
        shirts += content.shirts
    return Colours(
        _medians(grids, kinds, len(BACKGROUNDS)),
        _medians(np.stack(patches), np.array(shirts), len(SHIRTS)),
    )


def outside(
    boxes: Sequence[FaceBox], shape: tuple[int, int], grown: float = GROWN
) -> Bool[np.ndarray, "h w"]:
    """Cells (or pixels) of a picture whose middle is in no face box grown `grown` times about its middle."""
    h, w = shape
    y, x = (np.arange(h)[:, None] + 0.5) / h, (np.arange(w)[None] + 0.5) / w
    seen = np.ones(shape, bool)
    for box in boxes:
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * grown
        seen &= ~((np.abs(x - middle[0]) < half[0]) & (np.abs(y - middle[1]) < half[1]))
    return seen


def _medians(values: np.ndarray, kinds: np.ndarray, count: int) -> np.ndarray:
    return np.stack([np.median(values[kinds == kind], axis=0) for kind in range(count)])


def _grid(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows grid 3"]:
    """Mean colours of the grid's upper rows."""
    h, w = picture.shape[:2]
    rows, columns = (np.arange(GRID) * side // GRID for side in (h, w))
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows, 0), columns, 1)
    areas = np.outer(np.diff([*rows, h]), np.diff([*columns, w]))[..., None]
    return (sums / areas)[:ROWS]


def _patches(picture: UInt8[np.ndarray, "h w 3"], box: FaceBox) -> Float[np.ndarray, "sides 3"]:
    """Median colours left and right of the collar."""
    h, w = picture.shape[:2]
    x0, y0, x1, y1 = box * np.array([w, h, w, h])
    middle, wide, high = (x0 + x1) / 2, x1 - x0, y1 - y0
    rows = _cut(y0 + _UPPER * high, y0 + _LOWER * high, h)
    sides = ((-_OUTER, -_INNER), (_INNER, _OUTER))
    columns = [_cut(middle + low * wide, middle + high_ * wide, w) for low, high_ in sides]
    return np.stack([np.median(picture[rows, some].reshape(-1, 3), axis=0) for some in columns])


def _cut(low: float, high: float, size: int) -> slice:
    """At least two pixels inside [0, size]."""
    start = min(max(round(low), 0), size - 2)
    return slice(start, max(min(round(high), size), start + 2))
