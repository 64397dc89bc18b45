"""Twins of scenes: everything the same, but for everybody's expression.

Two renderings that differ in one factor say what its words do, and nothing else does (diffusion/losses.py, (10)).
"""

import jax.numpy as jnp

from dynamicid_jax.world.motion import EXPRESSIONS
from dynamicid_jax.world.scene import Scene, seed_of_places


def in_other_expressions(scenes: Scene) -> Scene:
    """The same scenes, in which everybody has one of the six other expressions; always the same one."""
    kinds = len(EXPRESSIONS)
    places = scenes.move.expression.shape[-1]
    turns = 1 + seed_of_places(scenes.seed, "twin", places) % (kinds - 1)
    expression = (scenes.move.expression + turns.astype(jnp.int32)) % kinds
    return scenes._replace(move=scenes.move._replace(expression=expression))
