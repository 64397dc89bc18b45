"""Who is in a suite's pictures: made-up people of the world's split `eval`, or people photographed in a folder.

Both answer the same questions, so that one suite runs on either: whom to put together, which photo is the reference,
what a picture should show, in whose words.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dynamicid_jax.data.prepare.layouts import scan
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.contents import Content, face_words, random_content
from dynamicid_jax.evaluation.photographs import Photo, PhotoFile, Shown, Wish
from dynamicid_jax.evaluation.shots import group
from dynamicid_jax.world.captions import COUNTS
from dynamicid_jax.world.motion import EXPRESSIONS, POSES
from dynamicid_jax.world.scene import BACKGROUNDS, SHIRTS

Motion = tuple[int | None, int | None]
"""Expression and pose, as numbers of motion.EXPRESSIONS and motion.POSES; None where nothing is asked."""


@dataclass(frozen=True)
class Ask:
    """One picture before a cast puts it in its own terms.

    Attributes:
        people: who, by number.
        photos: everybody's reference.
        motions: what everybody should do.
        prompt: number of the prompt; they are taken in turn.
        seed: of what nobody asks for.
        says_motion: whether the prompt says the motions.
    """

    people: tuple[int, ...]
    photos: tuple[Photo, ...]
    motions: tuple[Motion, ...]
    prompt: int
    seed: int
    says_motion: bool


@dataclass(frozen=True)
class Scene:
    """A prompt about made-up people: shirts from left to right, and what they stand before."""

    shirts: tuple[str, ...]
    background: str


@dataclass(frozen=True)
class MadeUp:
    """People of the world."""

    prompts: tuple[Scene, ...]
    name: str = "made_up"

    def fingerprint(self) -> str:
        """The split is their name."""
        return "eval"

    def people(self, asked: int) -> int:
        """As many as are asked for."""
        return asked

    def together(self, number: int, count: int) -> tuple[int, ...]:
        """Somebody and count - 1 others of their gallery."""
        return group(number, count)

    def reference(self, person: int, dice: np.random.Generator) -> tuple[Photo, str | None]:
        """A reference photo with any motion, and in words what it shows."""
        photo = random_content([person], dice)
        return photo, face_words(photo.expressions[0], photo.poses[0])

    def shown(self, ask: Ask) -> Shown:
        """What a picture should show; it can be drawn. What is not asked of a motion is the photo's."""
        scene = self.prompts[ask.prompt % len(self.prompts)]
        own = [(one.expressions[0], one.poses[0]) for one in ask.photos if isinstance(one, Content)]
        motions = [
            tuple(mine if said is None else said for said, mine in zip(*pair, strict=True))
            for pair in zip(ask.motions, own, strict=True)
        ]
        return Content(
            people=ask.people,
            expressions=tuple(one[0] for one in motions),
            poses=tuple(one[1] for one in motions),
            shirts=tuple(SHIRTS.index(scene.shirts[i]) for i in range(len(ask.people))),
            background=BACKGROUNDS.index(scene.background),
            seed=ask.seed,
        )


@dataclass(frozen=True)
class Photographed:
    """People of a folder that holds a folder per person.

    The first photo is the reference, the second the target: what another true picture of the person looks like.

    Attributes:
        photos: by person.
        prompts: "{people}" stands for "one person", "two people", ...
    """

    photos: dict[str, tuple[str, ...]]
    prompts: tuple[str, ...]
    name: str = "photos"

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody, by their number."""
        return tuple(self.photos)

    def fingerprint(self) -> str:
        """Of the photos that are used, and of everybody's place."""
        digest = hashlib.sha256()
        for some in self.photos.values():
            for path in some[:2]:
                digest.update(Path(path).read_bytes())
        return digest.hexdigest()[:16]

    def people(self, asked: int) -> int:
        """At most as many as there are."""
        return min(asked, len(self.names))

    def together(self, number: int, count: int) -> tuple[int, ...]:
        """Somebody and count - 1 others, evenly spread over the folder.

        Raises:
            InputError: the folder holds fewer.
        """
        total = len(self.names)
        if count > total:
            raise InputError(
                f"--photos: {total} people; a picture of {count} needs as many folders"
            )
        return tuple((number + k * (total // count)) % total for k in range(count))

    def reference(self, person: int, dice: np.random.Generator) -> tuple[Photo, str | None]:
        """The first photo; what it shows is left to be measured."""
        return PhotoFile(self.photos[self.names[person]][0]), None

    def shown(self, ask: Ask) -> Shown:
        """What a picture should show, in words."""
        text = self.prompts[ask.prompt % len(self.prompts)].replace(
            "{people}", COUNTS[len(ask.people) - 1]
        )
        if ask.says_motion:
            text += "".join(_said(ask.motions, place) for place in range(len(ask.people)))
        second = [self.photos[self.names[person]][1:2] for person in ask.people]
        return Wish(
            people=ask.people,
            expressions=tuple(one[0] for one in ask.motions),
            poses=tuple(one[1] for one in ask.motions),
            prompt=text,
            targets=tuple(PhotoFile(one[0]) if one else None for one in second),
        )


Cast = MadeUp | Photographed


def _said(asked: Sequence[Motion], place: int) -> str:
    """A person's motion as a phrase of the prompt."""
    where = {1: ("",), 2: (" on the left", " on the right")}.get(
        len(asked), (" on the left", " in the middle", " on the right")
    )[place]
    expression, pose = asked[place]
    words = [] if expression is None else [f"in a {EXPRESSIONS[expression]} expression"]
    words += [] if pose is None else [f"in {POSES[pose]} view"]
    return f",{where} {', '.join(words)}" if words else ""


def photographed(folder: Path, prompts: tuple[str, ...]) -> Photographed:
    """The people of DIR/PERSON/PHOTO whose person.json does not refuse consent.

    Raises:
        InputError: no such folder, or nobody in it.
    """
    found = scan(Settings(photos=str(folder), out="", face_pack="", layout="photos"))
    people = {
        person: tuple(photo.path for photo in some)
        for person, some in found.people().items()
        if person not in found.terms or not found.terms[person].refused
    }
    if not people:
        raise InputError(f"--photos {folder}: expected a folder with a folder of photos per person")
    return Photographed(people, prompts)
