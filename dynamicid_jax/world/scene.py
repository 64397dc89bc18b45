"""Who stands where, in what, before what: the factors of one picture, drawn from a seed.

A scene has P places; `heads` of them are taken, from the picture's left to its right. Places and
sizes are whole 1/4096 of the picture's (square) side, so that they are exact.

    people   half a face's width, about    middles
    1        0.26 to 0.30                  0.5
    2        0.20 to 0.23                  0.26, 0.74
    3        0.145 to 0.165                0.18, 0.5, 0.82

Someone alone may stand further off, where one of two or three people would (`roam`): who learns faces from pictures of
single people needs them at every size and place.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynamicid_jax.world.factors import choice, person_number, seed_of, unit, weighted
from dynamicid_jax.world.identity import Identity, identity
from dynamicid_jax.world.motion import Motion, motion

SHIRTS = ("red", "blue", "green", "yellow", "purple", "white", "black", "orange")
BACKGROUNDS = (
    "a blue wall", "a mint wall", "a sand wall", "a pink wall", "a lilac wall", "a grey wall",
    "green hills", "the sea", "a night sky", "a sunset",
)  # fmt: skip
MAX_PEOPLE = 3


class Scene(NamedTuple):
    """All factors of a picture; axes s are the batch's, p the places'."""

    seed: Int[Array, "*s"]
    heads: Int[Array, "*s"]
    background: Int[Array, "*s"]  # of BACKGROUNDS
    distance: Int[Array, "*s"]  # as far as one, two or three people are: 0, 1, 2
    stand: Int[Array, "*s"]  # of someone alone: the place among so many
    light: Float[Array, "*s"]  # from the picture's left (0) to its right, a fraction
    warmth: Float[Array, "*s"]  # cool to warm, a fraction
    who: Identity  # leaves [*s p]
    move: Motion  # leaves [*s p]
    shirt: Int[Array, "*s p"]  # of SHIRTS
    collar: Int[Array, "*s p"]  # round, V
    x: Float[Array, "*s p"]  # of the head's middle, fractions of the picture
    y: Float[Array, "*s p"]
    scale: Float[Array, "*s p"]  # of one head unit

    @property
    def present(self) -> Array:
        """Which places are taken, [*s p]."""
        return jnp.arange(self.x.shape[-1]) < self.heads[..., None]


# In 1/4096: middle and range of x, y, scale, by number of people and place.
_X = np.array([[2048, 2048, 2048], [1080, 3016, 2048], [725, 2048, 3371]], np.int32)
_X_RANGE = np.array([280, 70, 30], np.int32)
_Y = np.array([1960, 2040, 2120], np.int32)
_Y_RANGE = np.array([160, 420, 560], np.int32)
_SCALE = np.array([1450, 1115, 800], np.int32)
_SCALE_RANGE = np.array([100, 40, 30], np.int32)


def head_places(count: int) -> list[tuple[float, float, float, float]]:
    """Where heads of a scene of `count` people are: middle x and y, half the range of y, head unit.

    In fractions of the picture, from its left to its right.
    """
    many = count - 1
    y, reach, unit = (int(row[many]) / 4096 for row in (_Y, _Y_RANGE, _SCALE))
    return [(int(_X[many, place]) / 4096, y, reach / 2, unit) for place in range(count)]


def scene(seed: Array, person: Array, count: Array, move: Motion, *, roam: bool = False) -> Scene:
    """A scene of given people and motions; the rest is drawn from the seed.

    Args:
        seed: whole numbers, [*s].
        person: person numbers, [*s p].
        count: how many of the places are taken, [*s].
        move: leaves [*s p].
        roam: half of those who are alone stand further off.
    """
    places = person.shape[-1]
    many = jnp.clip(count - 1, 0, MAX_PEOPLE - 1)
    stand = jnp.zeros_like(many)
    if roam:
        many = jnp.where(count == 1, weighted(seed, "distance", (2, 1, 1)), many)
        stand = jnp.floor(unit(seed, "stand") * (many + 1)).astype(jnp.int32)
    column = jnp.arange(places).reshape((1,) * seed.ndim + (-1,))
    column = jnp.where(count[..., None] == 1, stand[..., None], column)
    own = seed_of_places(seed, "place", places)
    own = own.astype(jnp.uint32)

    def around(middle: Array, width: np.ndarray, name: str) -> Array:
        spread = jnp.asarray(width)[many][..., None]
        steps = jnp.floor(unit(own, name) * 4096).astype(jnp.int32) * spread // 4096 - spread // 2
        return (middle + steps).astype(jnp.float32) * (2.0**-12)

    return Scene(
        seed=seed,
        heads=count,
        background=choice(seed, "background", len(BACKGROUNDS)),
        distance=many,
        stand=stand,
        light=unit(seed, "light"),
        warmth=unit(seed, "warmth"),
        who=identity(person),
        move=move,
        shirt=choice(own, "shirt", len(SHIRTS)),
        collar=choice(own, "collar", 2),
        x=around(jnp.asarray(_X)[many[..., None], column], _X_RANGE, "x"),
        y=around(jnp.asarray(_Y)[many][..., None], _Y_RANGE, "y"),
        scale=around(jnp.asarray(_SCALE)[many][..., None], _SCALE_RANGE, "scale"),
    )


def seed_of_places(seed: Array, name: str, places: int) -> Array:
    """A seed of its own for every place of a scene, [*s p], of seeds [*s]."""
    return seed_of(seed[..., None], name, jnp.arange(places).reshape((1,) * seed.ndim + (-1,)))


def draw_people(seed: Array, split: str, people: int, places: int, first: int = 0) -> Array:
    """Different people of a split for the places of a scene, [*s p].

    Args:
        seed: whole numbers, [*s].
        split: of factors.SPLITS.
        people: only so many of the split; at least `places`.
        places: p.
        first: how many people of the split are passed over.
    """
    start = seed_of(seed, "person", 0) % jnp.uint32(people)
    step = 1 + seed_of(seed, "person", 1) % jnp.uint32(max(people // MAX_PEOPLE - 1, 1))
    offsets = jnp.arange(places, dtype=jnp.uint32).reshape((1,) * seed.ndim + (-1,))
    who = (start[..., None] + offsets * step[..., None]) % jnp.uint32(people)
    return person_number(split, who + jnp.uint32(first))


def draw_scene(
    seed: Array, split: str, *, people: int, places: int, weights: tuple[int, ...], first: int = 0
) -> Scene:
    """A scene of different people with motions of their own.

    Args:
        seed: whole numbers, [*s].
        split: whose people.
        people: only so many of them.
        places: p, at least len(weights).
        weights: how often 1, 2, ... people are drawn, as whole numbers.
        first: how many people of the split are passed over.
    """
    own = seed_of_places(seed, "move", places)
    return scene(
        seed,
        draw_people(seed, split, people, places, first),
        1 + weighted(seed, "count", weights),
        motion(own),
        roam=True,
    )
