"""What a picture of the suite shows: people in shirts, with expressions and poses, before a background.

A `Content` is asked for in words (`words`, the world's own captions) and in boxes (`head_boxes`), and drawn as the
truth (`draw`). A photo of somebody is a content of one person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from dynamicid_jax.types import Box
from dynamicid_jax.world.captions import caption, phrase_ids, without_motion
from dynamicid_jax.world.factors import SPLIT_SIZE, SPLITS, row
from dynamicid_jax.world.motion import EXPRESSIONS, POSES, motion
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.scene import BACKGROUNDS, MAX_PEOPLE, SHIRTS, Scene, head_places, scene
from dynamicid_jax.world.truth import Truth, truth

BATCH = 32  # pictures drawn at once on an accelerator
CPU_BATCH = 2  # a CPU draws one after the other, and the last batch is filled up
NEUTRAL, FRONT = EXPRESSIONS.index("neutral"), POSES.index("front")


@dataclass(frozen=True)
class Content:
    """One picture in whole numbers; people are places of a split and stand from left to right.

    Attributes:
        people: who, as places in the split.
        expressions: of motion.EXPRESSIONS, one each; likewise the next two.
        poses: of motion.POSES; all look neither up nor down.
        shirts: of scene.SHIRTS.
        background: of scene.BACKGROUNDS.
        seed: of everything else: where exactly they stand, the light, the strength of expressions.
        split: whose people.
    """

    people: tuple[int, ...]
    expressions: tuple[int, ...]
    poses: tuple[int, ...]
    shirts: tuple[int, ...]
    background: int
    seed: int
    split: str = "eval"


def random_content(
    people: Sequence[int],
    dice: np.random.Generator,
    *,
    expressions: Sequence[int] | None = None,
    poses: Sequence[int] | None = None,
    split: str = "eval",
) -> Content:
    """A content of given people; what is not given is drawn evenly."""
    count = len(people)

    def drawn(kinds: Sequence[Any]) -> tuple[int, ...]:
        return tuple(int(one) for one in dice.integers(len(kinds), size=count))

    shirts, background = drawn(SHIRTS), int(dice.integers(len(BACKGROUNDS)))
    own_expressions, own_poses = drawn(EXPRESSIONS), drawn(POSES)
    return Content(
        people=tuple(people),
        expressions=own_expressions if expressions is None else tuple(expressions),
        poses=own_poses if poses is None else tuple(poses),
        shirts=shirts,
        background=background,
        seed=int(dice.integers(2**30)),
        split=split,
    )


def portrait(person: int, seed: int) -> Content:
    """The picture of a person in the gallery: neutral, from the front."""
    return Content(
        (person,), (NEUTRAL,), (FRONT,), (seed % len(SHIRTS),), seed % len(BACKGROUNDS), seed
    )


def face_words(expression: int | None, pose: int | None) -> str:
    """Words of a face prompt for what is given, such as "happy, half left view"."""
    said = [] if expression is None else [EXPRESSIONS[expression]]
    return ", ".join(said if pose is None else [*said, "level", f"{POSES[pose]} view"])


def head_boxes(count: int) -> list[Box]:
    """A box for each head: around the middles where scenes put heads, half-way to the neighbour (one: 0.95 units).

    Upwards 1 head unit (with hair), downwards 0.9 (a chin and a little), and half the range of y on both ends.
    """
    places = head_places(count)
    half = (places[1][0] - places[0][0]) / 2 if count > 1 else 0.95 * places[0][3]
    return [
        (x - half, max(0.0, y - reach - unit), x + half, min(1.0, y + reach + 0.9 * unit))
        for x, y, reach, unit in places
    ]


def words(contents: Sequence[Content], *, motions: bool = True) -> list[str]:
    """Captions in the world's own wording; without motions they say nothing of expressions and poses."""
    rows = []
    for some, scenes in _scenes(contents):
        ids = np.asarray(_phrases(scenes))[: len(some)]
        rows += [caption(one if motions else without_motion(one)) for one in ids]
    return rows


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture with its truth (leaves have the axis p: three places)."""

    pixels: UInt8[np.ndarray, "h w 3"]
    truth: Truth


def draw(contents: Sequence[Content], size: int) -> list[Drawn]:
    """The pictures of these contents, size x size pixels."""
    drawn = []
    for some, scenes in _scenes(contents):
        pixels, found = jax.tree.map(np.asarray, _render(scenes, size))
        drawn += [Drawn(pixels[i], row(found, i)) for i in range(len(some))]
    return drawn


def _scenes(contents: Sequence[Content]) -> Any:
    """Batches of one size: contents, and their scenes (the last batch is filled up)."""
    size = CPU_BATCH if jax.default_backend() == "cpu" else BATCH
    for start in range(0, len(contents), size):
        some = list(contents[start : start + size])
        yield some, _scene(_columns([*some, *[some[-1]] * (size - len(some))]))


def _columns(contents: Sequence[Content]) -> dict[str, np.ndarray]:
    def column(name: str) -> np.ndarray:
        rows = [getattr(one, name) for one in contents]
        return np.array([[*row, *[0] * (MAX_PEOPLE - len(row))] for row in rows], np.int32)

    firsts = np.array([[SPLITS.index(one.split) * SPLIT_SIZE] for one in contents], np.int32)
    return {
        "person": column("people") + firsts,
        "expression": column("expressions"),
        "pose": column("poses"),
        "shirt": column("shirts"),
        "background": np.array([one.background for one in contents], np.int32),
        "seed": np.array([one.seed for one in contents], np.int32),
        "count": np.array([len(one.people) for one in contents], np.int32),
    }


@jax.jit
def _scene(given: dict[str, jax.Array]) -> Scene:
    own = given["seed"][:, None] * MAX_PEOPLE + jnp.arange(MAX_PEOPLE)[None]
    level = jnp.zeros_like(given["pose"])
    move = motion(own, given["expression"], given["pose"], level)
    made = scene(given["seed"], given["person"], given["count"], move)
    return made._replace(shirt=given["shirt"], background=given["background"])


@jax.jit
def _phrases(scenes: Scene) -> jax.Array:
    return jax.vmap(phrase_ids)(scenes)


@partial(jax.jit, static_argnums=1)
def _render(scenes: Scene, size: int) -> tuple[jax.Array, Truth]:
    return to_bytes(render_many(scenes, size)), jax.vmap(truth)(scenes)
