"""Twins of scenes: everything the same, but for everybody's expression, or but for who stands there.

Two renderings that differ in one factor say what its words or its face do, and nothing else does (diffusion/losses.py,
(10)). A third way changes one thing that a face shows, to ask what has been learned of it (data/wrong_faces.py).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from dynamicid_jax.world.factors import SPLIT_SIZE, choice, person_number, unit
from dynamicid_jax.world.identity import identity, unlike
from dynamicid_jax.world.motion import EXPRESSIONS
from dynamicid_jax.world.scene import Scene, seed_of_places
from dynamicid_jax.world.sources import Source

LOOKS = {
    "skin": ("skin", "undertone"),
    "hair_colour": ("hair_colour", "hair_tone"),
    "hair_style": ("hair_style", "hair_volume", "parting"),
    "beard": ("beard",),
    "glasses": ("glasses", "frame_colour"),
}
"""What a face shows at a glance, and the factors of a person (identity.py) that it comes from."""
BROAD = (LOOKS["skin"], LOOKS["hair_colour"])
"""Factors of a person that say most: without hair's style nobody is told, but these two drown it."""


def twins_of(scenes: Scene, source: Source, people: float = 0.0) -> Scene:
    """The second rendering of each scene; always the same one.

    Args:
        scenes: leaves [b ...].
        source: of their people.
        people: share of the scenes in which others stand there, with the same expressions; the rest are the same people
            with others.
    """
    expressions = in_other_expressions(scenes)
    if not people:
        return expressions
    chosen = unit(scenes.seed, "twin") < people

    def pick(other: Array, same: Array) -> Array:
        return jnp.where(chosen.reshape(-1, *[1] * (same.ndim - 1)), other, same)

    return jax.tree.map(pick, of_other_people(scenes, source), expressions)


def in_other_expressions(scenes: Scene) -> Scene:
    """The same scenes, in which everybody has one of the six other expressions."""
    kinds = len(EXPRESSIONS)
    places = scenes.move.expression.shape[-1]
    turns = 1 + seed_of_places(scenes.seed, "twin", places) % (kinds - 1)
    expression = (scenes.move.expression + turns.astype(jnp.int32)) % kinds
    return scenes._replace(move=scenes.move._replace(expression=expression))


def of_other_people(scenes: Scene, source: Source) -> Scene:
    """The same scenes, in which others of the source's people stand: as they stood, looked and were dressed.

    Half of the time somebody else has the same skin, and likewise hair's colour: the rest, hair's style before all, is
    what takes longest to tell.
    """
    people, places = source.people, scenes.who.person.shape[-1]
    turns = 1 + seed_of_places(scenes.seed, "twin", places) % max(people - 1, 1)
    now = scenes.who.person % SPLIT_SIZE - source.first
    other = (now + turns.astype(jnp.int32)) % people + source.first
    who = identity(person_number(source.split, other))
    shared = {}
    for names in BROAD:
        alike = choice(scenes.seed, f"same {names[0]}", 2)[:, None] > 0
        for name in names:
            shared[name] = jnp.where(alike, getattr(scenes.who, name), getattr(who, name))
    return scenes._replace(who=who._replace(**shared))


def in_another_look(scenes: Scene, chosen: Bool[Array, " looks"]) -> Scene:
    """The same scenes, in which everybody looks as they do but for what is chosen of LOOKS, which nobody keeps."""
    who, other = scenes.who, unlike(scenes.who, scenes.seed[:, None])
    changed = {
        name: jnp.where(take, getattr(other, name), getattr(who, name))
        for take, names in zip(chosen, LOOKS.values(), strict=True)
        for name in names
    }
    return scenes._replace(who=who._replace(**changed))
