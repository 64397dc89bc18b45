"""Batches of the world with one attribute of every caption wrong: how much does a model listen to it?

rise of an attribute = loss(wrong caption) - loss(right caption)        same pictures, noise and timesteps

An attribute that a model ignores, or that falls beyond the end of its texts, does not make the loss rise.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from dynamicid_jax.data.batch import Variant
from dynamicid_jax.data.world_fields import FieldPlan, Tables, caption_ids
from dynamicid_jax.world.captions import ATTRIBUTES, misnamed


def wrong_captions(plan: FieldPlan, tables: Tables) -> dict[str, Variant]:
    """What makes a batch wrong about each attribute, as "rise_<attribute>"; none for batches without `phrases`."""
    if "phrases" not in plan.fields:
        return {}
    words = {name: tables[name] for name in ("phrases", "lengths")}
    return {f"rise_{name}": partial(_wrong, plan, words, name) for name in ATTRIBUTES}


def _wrong(plan: FieldPlan, words: Tables, attribute: str, batch: dict[str, Any]) -> dict[str, Any]:
    ids = _wrong_ids(plan, attribute, words, jnp.asarray(batch["phrases"]))
    return {**batch, "text_ids": np.asarray(ids)}


@partial(jax.jit, static_argnums=(0, 1))
def _wrong_ids(
    plan: FieldPlan, attribute: str, words: Tables, phrases: Int[Array, "b n"]
) -> Int[Array, "b l"]:
    turns = jnp.arange(phrases.shape[0])  # so that all wrong phrases are met alike
    wrong = jax.vmap(lambda ids, number: misnamed(ids, attribute, number))(phrases, turns)
    return caption_ids(plan, words, wrong)
