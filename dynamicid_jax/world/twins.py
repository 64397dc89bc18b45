"""Twins of scenes: everything the same, but for everybody's expression.

Two renderings that differ in one factor say what its words do, and nothing else does (diffusion/losses.py, (10)).
"""

import jax.numpy as jnp

from dynamicid_jax.world.factors import seed_of
from dynamicid_jax.world.motion import EXPRESSIONS
from dynamicid_jax.world.scene import Scene


def in_other_expressions(scenes: Scene) -> Scene:
    """The same scenes, in which everybody has one of the six other expressions; always the same one."""
    kinds = len(EXPRESSIONS)
    places = jnp.arange(scenes.move.expression.shape[-1])
    places = places.reshape((1,) * scenes.seed.ndim + (-1,))
    turns = 1 + seed_of(scenes.seed[..., None], "twin", places) % (kinds - 1)
    expression = (scenes.move.expression + turns.astype(jnp.int32)) % kinds
    return scenes._replace(move=scenes.move._replace(expression=expression))
