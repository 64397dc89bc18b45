"""What the demo draws: people of the package's photos in one scene, and one of them in every expression and pose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dynamicid_jax.faces.prompts import FaceWords
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.pipeline import DynamicIDPipeline, Output
from dynamicid_jax.packaged import photos
from dynamicid_jax.provenance.consent import MADE_UP
from dynamicid_jax.types import Box
from dynamicid_jax.world.captions import describe
from dynamicid_jax.world.motion import EXPRESSIONS, POSES


@dataclass(frozen=True)
class Role:
    """Who plays: a photo's name (packaged.photos), a shirt's colour, expression and pose."""

    name: str
    shirt: str
    words: FaceWords


ROLES = (
    Role("ada", "yellow", FaceWords("happy", "level", "half right")),
    Role("ben", "blue", FaceWords("surprise", "level", "half left")),
    Role("dan", "green", FaceWords("anger", "level", "half left")),
)
"""From the picture's left to its right."""
BOXES: dict[int, tuple[Box, ...]] = {
    1: ((0.18, 0.12, 0.82, 0.86),),
    2: ((0.03, 0.16, 0.49, 0.84), (0.51, 0.16, 0.97, 0.84)),
    3: ((0.01, 0.22, 0.34, 0.8), (0.34, 0.22, 0.66, 0.8), (0.66, 0.22, 0.99, 0.8)),
}
"""By the number of people; faces of the world stand within them (world/scene.py)."""
SCENE_BACKGROUND, GRID_BACKGROUND, GRID_SHIRT = "the sea", "a mint wall", "orange"
GRID_PERSON = ROLES[0].name
GRID = [
    FaceWords(expression, "level", pose)  # type: ignore[arg-type]  # the same names
    for expression in EXPRESSIONS
    for pose in POSES
]
"""Rows: expressions; columns: poses."""


@dataclass(frozen=True)
class Drawing:
    """One picture to be drawn."""

    prompt: str
    people: tuple[Person, ...]
    seed: int


def scene(pipe: DynamicIDPipeline, count: int, seed: int) -> Drawing:
    """The first `count` roles side by side; without a face pack people are random tokens."""
    roles, boxes = ROLES[:count], BOXES[count]
    prompt = describe([(role.shirt, role.words) for role in roles], SCENE_BACKGROUND)
    if pipe.face_pack is None:
        shape = (count, *pipe.token_shape)
        tokens = np.random.default_rng(seed).standard_normal(shape, np.float32)
        people = [
            pipe.person(face_tokens=one, box=box, consent=MADE_UP)
            for one, box in zip(tokens, boxes, strict=True)
        ]
    else:
        known = photos()
        people = [
            pipe.person(known[role.name], face=role.words.prompt(), box=box, consent=MADE_UP)
            for role, box in zip(roles, boxes, strict=True)
        ]
    return Drawing(prompt, tuple(people), seed)


def grid(pipe: DynamicIDPipeline, seed: int) -> list[Drawing]:
    """One person in all of GRID, from one photo, at the same noise."""
    photo = photos()[GRID_PERSON]
    return [
        Drawing(
            describe([(GRID_SHIRT, words)], GRID_BACKGROUND),
            (pipe.person(photo, face=words.prompt(), consent=MADE_UP),),
            seed,
        )
        for words in GRID
    ]


def draw(
    pipe: DynamicIDPipeline,
    drawings: Sequence[Drawing],
    progress: Callable[[int, int], Any],
) -> list[Output]:
    """Draws them all; `progress` is told (pictures done, pictures).

    One after the other: on two cores a batch of 7 took 1.7 s of processor time a picture, one alone 1.5 s.
    """
    made: list[Output] = []
    for drawing in drawings:
        progress(len(made), len(drawings))
        made.append(pipe(drawing.prompt, drawing.people, seed=drawing.seed))
    progress(len(made), len(drawings))
    return made
