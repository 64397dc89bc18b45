"""Boxes of the picture to cells of the UNet's maps (METHOD section 3, "Layout").

A box (x0, y0, x1, y1) in fractions covers, on a map of h x w cells, rows int(y0 h) to int(y1 h) and columns
int(x0 w) to int(x1 w). The cells are found on the host in float64: in float32 a third of 48 may come out as 15 or 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from dynamicid_jax.errors import InputError
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.types import Box, Number

AUTO = "auto"


@dataclass(frozen=True)
class AutoBox:
    """A place that is to be found (auto_layout.py).

    Attributes:
        words: of the prompt, for whom the place is; empty: people stand in their order.
    """

    words: str = ""

    def __str__(self) -> str:
        return f"{AUTO}:{self.words}" if self.words else AUTO


def check_place(box: Any, name: str = "box") -> Box | AutoBox:
    """A box as four floats, or "auto" or "auto:WORDS" as an `AutoBox`.

    Raises:
        InputError: see `check_box`; also another word.
    """
    if isinstance(box, AutoBox):
        return box
    if not isinstance(box, str):
        return check_box(box, name)
    kind, _, words = box.partition(":")
    if kind.strip() != AUTO:
        raise InputError(f'{name}: expected four fractions, "auto" or "auto:WORDS", got {box!r}')
    return AutoBox(words.strip())


def place_json(box: Box | AutoBox | None) -> list[float] | str | None:
    """A place as recipes say it."""
    if box is None:
        return None
    return str(box) if isinstance(box, AutoBox) else list(box)


def check_box(box: Sequence[Number], name: str = "box") -> Box:
    """The box as four floats.

    Raises:
        InputError: not four numbers, outside [0, 1], or reversed.
    """
    form = "four fractions x0, y0, x1, y1 of width and height, with x0 < x1 and y0 < y1"
    try:
        x0, y0, x1, y1 = (float(value) for value in box)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: expected {form}, got {box!r}") from None
    if not all(0 <= value <= 1 for value in (x0, y0, x1, y1)):
        raise InputError(f"{name}: {(x0, y0, x1, y1)} leaves [0, 1]; expected {form}")
    if x0 >= x1 or y0 >= y1:
        raise InputError(f"{name}: {(x0, y0, x1, y1)} is empty or reversed; expected {form}")
    return x0, y0, x1, y1


def strips(people: int) -> list[Box]:
    """Vertical strips of equal width, from left to right: where people stand if nobody says otherwise."""
    return [(index / people, 0.0, (index + 1) / people, 1.0) for index in range(people)]


def covered_cells(box: Box, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The cells that a box covers on a map of `height` x `width` cells."""
    x0, y0, x1, y1 = covered_range(box, height, width)
    cells = np.zeros((height, width), bool)
    cells[y0:y1, x0:x1] = True
    return cells


def covered_range(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    """The same as x0, y0, x1, y1 in cells, the last ones left out."""
    x0, y0, x1, y1 = box
    return int(x0 * width), int(y0 * height), int(x1 * width), int(y1 * height)


def places(count: int) -> int:
    """Places that a program has for `count` people or slots: the next power of two.

    Spare places are empty, and weigh nothing (models/gate.py), so that three people need no other program than four.
    """
    return 1 << (count - 1).bit_length()


def map_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes of the UNet's maps for latents of `height` x `width`, finest first."""
    return [(-(-height // 2**level), -(-width // 2**level)) for level in range(levels)]


def resolve_boxes(boxes: Sequence[Box | AutoBox | None]) -> list[Box] | None:
    """One box per person, or None for one person who has none and may stand anywhere.

    Raises:
        InputError: some people have a box and others do not, or a place is still to be found.
    """
    if any(isinstance(box, AutoBox) for box in boxes):
        raise InputError(
            "box: 'auto' is found by pipe(...) or pipe.place(...), one picture at a time"
        )
    missing = [index for index, box in enumerate(boxes) if box is None]
    if not missing:
        return [box for box in boxes if box is not None and not isinstance(box, AutoBox)]
    if len(missing) < len(boxes):
        raise InputError(
            f"box: person {missing[0] + 1} has none while others have one; give every person a box, or none"
        )
    return None if len(boxes) == 1 else strips(len(boxes))


def face_layout(
    boxes: Sequence[Box] | None,
    mix: Float[Array, "p s"],
    sizes: Sequence[tuple[int, int]],
    *,
    identity_scale: Number = 1.0,
    gate: bool = True,
) -> FaceLayout:
    """The layout of one call; `sizes` are the UNet's map sizes, finest (the latents') first.

    Slots of `mix` beyond the boxes are spare.

    Raises:
        InputError: a box that covers no cell of the latents.
    """
    inside: dict[str, Bool[Array, "1 s q"]] = {}
    boxes = boxes or ()
    for h, w in sizes if boxes else ():
        cells = np.stack([covered_cells(box, h, w) for box in boxes])
        spare = np.zeros((mix.shape[1] - len(boxes), h, w), bool)
        covered = np.concatenate([cells, spare]).reshape(1, -1, h * w)
        inside[f"{h}x{w}"] = jnp.asarray(covered)
        if (h, w) == tuple(sizes[0]) and not cells.any((1, 2)).all():
            empty = int(np.argmin(cells.any((1, 2))))
            raise InputError(
                f"box: person {empty + 1}'s box {boxes[empty]} covers no cell of the {w} x {h} latents; make it larger"
            )
    return FaceLayout(
        mix=mix,
        inside=inside,
        identity_scale=jnp.float32(identity_scale),
        strength=jnp.float32(0),
        gated=gate,
    )
