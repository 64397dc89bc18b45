"""Boxes found instead of drawn: where would this prompt and seed put faces by themselves?

    look     a short pass of the same prompt and seed without the people's features, decoded
    find     the face pack's detector on that picture: as many faces as people, the largest ones
    box      twice the face's box around its middle, as the reference crop; side by side they meet half-way
    give     from left to right in the order of the people, or by words of the prompt (`ranks_by_words`)

The gate leaves what is around the faces alone, so that the real pass of the same seed keeps them where they were seen.
Fewer faces than people: the next seed, `MAX_LOOKS` looks in all, then vertical strips at the first seed, with a
`LayoutWarning`.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.inference.layout import AutoBox, strips
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.request import MAX_SEED, Request
from dynamicid_jax.types import Box

LOOK_SHARE = 0.4  # of the steps: faces stand where they will long before they are sharp
MIN_LOOK_STEPS = 4
MAX_LOOKS = 4
GROWTH = 2.0  # a box's side over its face's, as faces.reference.CROP_FACTOR
SIDES = {"left": 0, "middle": 1, "centre": 1, "center": 1, "right": 2}

Look = Callable[[Request], UInt8[np.ndarray, "h w 3"]]
"""Makes the picture of a short request without the people's features."""
Detect = Callable[[UInt8[np.ndarray, "h w 3"]], list[Detection]]


class LayoutWarning(UserWarning):
    """A picture's boxes could not be found; strips were taken."""


@dataclass(frozen=True)
class Layout:
    """How boxes came about.

    Attributes:
        how: "faces" (found) or "strips" (not found).
        boxes: in the order of the people; None for one person who was not found and may stand anywhere.
        seed: the one that the picture has to be made with.
        looks: short passes that it took.
        steps: sampling steps of all looks, the price of not drawing boxes.
    """

    how: str
    boxes: tuple[Box | None, ...]
    seed: int
    looks: int
    steps: int

    def to_json(self) -> dict[str, Any]:
        """For a picture's metadata."""
        return {"how": self.how, "seed": self.seed, "looks": self.looks, "steps": self.steps}


def find_layout(request: Request, people: Sequence[Person], look: Look, detect: Detect) -> Layout:
    """Boxes for people whose boxes are all `AutoBox`.

    Args:
        request: what the picture is to be; of one picture.
        people: for whom.
        look: makes the short pass.
        detect: finds faces in it, from left to right.

    Raises:
        InputError: words of an `AutoBox` that the prompt does not hold, or several pictures at once.
    """
    if request.num_images != 1:
        raise InputError(
            f"num_images: {request.num_images} with box='auto'; every picture has its own places: "
            "make one at a time, each with a seed of its own"
        )
    words = [person.box.words if isinstance(person.box, AutoBox) else "" for person in people]
    ranks = ranks_by_words(request.prompt, words)
    short = short_pass(request)
    for number in range(MAX_LOOKS):
        seed = (request.seed + number) % MAX_SEED
        picture = look(replace(short, seed=seed))
        found = face_boxes(detect(picture), len(people), picture.shape[:2])
        if found is not None:
            boxes = tuple(found[rank] for rank in ranks)
            return Layout("faces", boxes, seed, number + 1, (number + 1) * short.steps)
    warnings.warn(
        f"box='auto': {MAX_LOOKS} looks at this prompt (seeds from {request.seed}) showed fewer than {len(people)} "
        "faces; people stand in strips. Say in the prompt how many people there are, or give boxes",
        LayoutWarning,
        stacklevel=2,
    )
    places = strips(len(people)) if len(people) > 1 else [None]
    return Layout(
        "strips",
        tuple(places[rank] for rank in ranks),
        request.seed,
        MAX_LOOKS,
        MAX_LOOKS * short.steps,
    )


def short_pass(request: Request) -> Request:
    """The same request in fewer steps, with the people's features off.

    They are off by scale, not by absence: the same compiled program serves both passes.
    """
    steps = min(request.steps, max(MIN_LOOK_STEPS, round(LOOK_SHARE * request.steps)))
    return replace(request, steps=steps, layout_steps=0, identity_scale=0.0)


def face_boxes(
    detections: Sequence[Detection], count: int, size: tuple[int, int]
) -> list[Box] | None:
    """Boxes around the `count` largest faces, from left to right; None where there are fewer.

    Args:
        detections: faces of one picture.
        count: how many are wanted.
        size: height and width of the picture in pixels.
    """
    if len(detections) < count:
        return None
    largest = sorted(detections, key=lambda one: -one.width * one.height)[:count]
    height, width = size
    scale = np.array([[width, height, width, height]], np.float64)
    faces = np.clip(np.stack([one.box for one in largest]) / scale, 0, 1)
    faces = faces[np.argsort(faces[:, 0] + faces[:, 2], kind="stable")]
    if (faces[:, 2:] <= faces[:, :2]).any():
        return None  # a face beyond the edge has no place in the picture
    return _grown(faces)


def _grown(faces: Float[np.ndarray, "k 4"]) -> list[Box]:
    """Boxes `GROWTH` times as large, inside the picture, half-way to the next face where both stand side by side."""
    middle, half = (faces[:, :2] + faces[:, 2:]) / 2, (faces[:, 2:] - faces[:, :2]) * GROWTH / 2
    grown = np.clip(np.concatenate([middle - half, middle + half], axis=1), 0, 1)
    for left in range(len(faces) - 1):
        if faces[left, 2] <= faces[left + 1, 0]:
            between = (faces[left, 2] + faces[left + 1, 0]) / 2
            grown[left, 2] = min(grown[left, 2], between)
            grown[left + 1, 0] = max(grown[left + 1, 0], between)
    return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in grown]


def ranks_by_words(prompt: str, words: Sequence[str]) -> list[int]:
    """For each person, the place from the left (from 0) that the prompt gives them.

    Without words people stand in their own order. With words, somebody whose words stand in one clause with "left",
    "middle" or "right" goes there; the others stand in the order in which the prompt mentions them, between both.

    Args:
        prompt: for example "on the left a woman in red, on the right a man in blue".
        words: of every person, for example "a man in blue"; or empty for all of them.

    Raises:
        InputError: words that the prompt does not hold, or words for some people only.
    """
    if not any(words):
        return list(range(len(words)))
    keys = []
    for number, phrase in enumerate(words, 1):
        start = prompt.lower().find(phrase.lower()) if phrase else -1
        if start < 0:
            raise InputError(
                f"box: person {number}'s words {phrase!r} are not in the prompt; "
                "give everybody auto:WORDS that stand in it, or everybody auto"
            )
        keys.append((_side(prompt, start, start + len(phrase)), start, number - 1))
    order = [index for *_, index in sorted(keys)]
    return [order.index(index) for index in range(len(words))]


def _side(prompt: str, start: int, stop: int) -> int:
    """0, 1 or 2 by the first word of `SIDES` in the clause around prompt[start:stop]; 1 without one."""
    breaks = [0, *(match.end() for match in re.finditer(r"[,;.]|\band\b", prompt)), len(prompt)]
    begin = max(place for place in breaks if place <= start)
    end = min(place for place in breaks if place >= stop)
    said = [SIDES[word] for word in re.findall(r"\w+", prompt[begin:end].lower()) if word in SIDES]
    return said[0] if said else 1
