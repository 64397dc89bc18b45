"""A shot: one picture of a suite, as plain values: what it should show, who is given to the pipeline, and how."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dynamicid_jax.evaluation.contents import Content, face_words, random_content
from dynamicid_jax.evaluation.photographs import Photo, Shown
from dynamicid_jax.types import Box

GALLERY = 50  # people among whom somebody is looked for


@dataclass(frozen=True)
class Subject:
    """Somebody given to the pipeline.

    Attributes:
        photos: (what the reference photo shows, weight); several are mixed into one person.
        face: words of an edit, or None.
        pose: what the pose photo of an edit shows, or None.
        source_face: words for what the reference shows, for edits.
        box: where in the picture, or None.
    """

    photos: tuple[tuple[Photo, float], ...]
    face: str | None = None
    pose: Photo | None = None
    source_face: str | None = None
    box: Box | None = None

    @property
    def is_edited(self) -> bool:
        """Whether IMR is asked for."""
        return self.face is not None or self.pose is not None


@dataclass(frozen=True)
class Shot:
    """One picture to draw and to judge.

    Attributes:
        kind: its set; measures ask for pictures by kind.
        number: within the kind; also of the person by whom the bootstrap groups.
        shows: what it should show; a content is put in the world's words, a wish brings its own.
        subjects: who is given to the pipeline; empty: plain text-to-image.
        says_motion: whether the prompt says expressions and poses.
        identity_scale: factor of the face branch.
        layout_strength: None: the suite's.
        keep_gates: whether gate maps are stored.
        has_truth: whether `shows`, drawn, is what a perfect model would make.
        aim: the photo whose face tokens an edit should give, for the token error.
        variant: another picture of the same kind and number.
        noise: number of the noise; None: the variant. Shots of one number and one noise share it.
    """

    kind: str
    number: int
    shows: Shown
    subjects: tuple[Subject, ...] = ()
    says_motion: bool = True
    identity_scale: float = 1.0
    layout_strength: float | None = None
    keep_gates: bool = False
    has_truth: bool = True
    aim: Photo | None = None
    variant: int = 0
    noise: int | None = None

    @property
    def name(self) -> str:
        """Kind and number: the picture's file without its ending."""
        return f"{self.kind}/{self.number:05d}" + (f"-{self.variant}" if self.variant else "")

    @property
    def seed(self) -> int:
        """Of the noise: shots of one number share it, so that pictures of different kinds are paired."""
        return 1000 * self.number + (self.variant if self.noise is None else self.noise)


Series = Callable[[int], list[Shot]]
"""The shots of the person with a number: they depend on nothing else, so that more people only add shots."""


def dice_of(name: str, number: int) -> np.random.Generator:
    """The random numbers of one series and person."""
    return np.random.default_rng([zlib.crc32(name.encode()), number])


def block_of(person: int) -> range:
    """The people of the gallery in which somebody is looked for: the 50 of their block."""
    start = person // GALLERY * GALLERY
    return range(start, start + GALLERY)


def group(person: int, count: int) -> tuple[int, ...]:
    """Somebody and count - 1 others of their block."""
    people = block_of(person)
    return tuple(people[(person - people.start + 17 * k) % GALLERY] for k in range(count))


def photo_of(content: Content, place: int, dice: np.random.Generator) -> Content:
    """Another picture of one of a content's people, with the motion that they have there."""
    return random_content(
        [content.people[place]],
        dice,
        expressions=[content.expressions[place]],
        poses=[content.poses[place]],
    )


def plain_subject(photo: Content, box: Box | None = None) -> Subject:
    """Somebody as their photo shows them."""
    return Subject(((photo, 1.0),), box=box)


def edited(
    photo: Content,
    *,
    expression: int | None = None,
    turn: int | None = None,
    pose: Content | None = None,
    box: Box | None = None,
) -> Subject:
    """Somebody with another motion; what the photo shows is told in words, as a user may."""
    return Subject(
        ((photo, 1.0),),
        face=face_words(expression, turn),
        pose=pose,
        source_face=face_words(photo.expressions[0], photo.poses[0]),
        box=box,
    )


def other(kinds: int, than: Sequence[int], dice: np.random.Generator) -> int:
    """One of 0 ... kinds - 1 that is none of `than`."""
    left = [kind for kind in range(kinds) if kind not in than]
    return left[int(dice.integers(len(left)))]
