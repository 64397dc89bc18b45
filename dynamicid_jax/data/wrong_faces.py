"""Batches of the world with one thing wrong about every face shown: what does a model take from a face?

rise of a look = loss(photo of the same person but for it) - loss(their photo)     same pictures, noise and timesteps

The wrong photo is drawn anew, and its identity read from it; everything else about the face, its expression and its
pose stay. What a model does not take from the photo does not make the loss rise.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from dynamicid_jax.data.batch import Variant
from dynamicid_jax.data.world_fields import Drawable, FieldPlan, Tables, draw_faces, drawable
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.twins import LOOKS, in_another_look


def wrong_faces(source: Source, plan: FieldPlan, tables: Tables) -> dict[str, Variant]:
    """What makes a batch's faces wrong in each of LOOKS, as "rise_<look>"; none for batches without `number`."""
    if "number" not in plan.fields:
        return {}
    return {
        f"rise_{name}": partial(_wrong, source, plan, tables, np.arange(len(LOOKS)) == place)
        for place, name in enumerate(LOOKS)
    }


def _wrong(
    source: Source, plan: FieldPlan, tables: Tables, chosen: np.ndarray, batch: dict[str, Any]
) -> dict[str, Any]:
    others = _others(source, jnp.asarray(chosen), jnp.asarray(batch["number"]))
    faces = draw_faces(plan, tables, others)
    return batch | {name: np.asarray(value) for name, value in faces.items()}


@partial(jax.jit, static_argnums=0)
def _others(source: Source, chosen: Bool[Array, " looks"], numbers: Int[Array, " b"]) -> Drawable:
    """One program for all looks: which one is wrong is an input."""
    return drawable(in_another_look(source.scenes(numbers), chosen))
