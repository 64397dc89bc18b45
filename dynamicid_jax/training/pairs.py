"""Pairs of renderings that differ in one factor alone, for stages that take them (diffusion/losses.py, (10))."""

import jax.numpy as jnp
from jaxtyping import Array

from dynamicid_jax.data.batch import TWINS
from dynamicid_jax.diffusion import losses
from dynamicid_jax.training import examples
from dynamicid_jax.training.examples import Batch, Constants
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.training.stage import Setting
from dynamicid_jax.types import Params

FAINT = 1e-3  # a pair that differs by less than about this (squared, of latents' variance 1) counts for less


def pairs_loss(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
    own: tuple[Array, losses.Noise, Array, Array | None],
    drop_text: Array,
    drop_image: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """(10) from `twin_from` on, and how much of the pairs' difference is explained; 0 without pairs.

    Args:
        networks: as a stage's loss has them; likewise weights, batch, constants and setting.
        weights: without an adapter where people are not meant.
        batch: with twins.
        constants: fixed inputs.
        key: of the draw from the pictures' latents, so that the twins' is the same.
        setting: of the run.
        own: latents, noise, prediction and emphasis of the pictures themselves.
        drop_text: rows without their words.
        drop_image: rows without their face; None without an adapter.
    """
    if not (setting.loss.twin_weight and setting.training):
        return jnp.zeros(()), {}
    clean, noise, prediction, emphasis = own
    # The second rendering under the names of the first.
    twin = batch | {name.removeprefix("twin_"): batch[name] for name in TWINS if name in batch}
    latents = clean, examples.latents(networks, weights, twin, key)
    text = examples.text_states(networks, weights, twin, constants, drop_text)
    faces = None
    if drop_image is not None:
        faces = examples.face_tokens(networks, weights, twin, constants, drop_image)[:, None]
    rows = losses.twin_rows(networks, weights, latents, noise, prediction, text, faces, emphasis)
    late = noise.timesteps >= setting.loss.twin_from
    left, whole = (row * late for row in rows)
    told = 1 - left.sum() / jnp.maximum(whole.sum(), 1e-9)
    untold = (left / (whole + FAINT)).mean()
    return setting.loss.twin_weight * untold, {"twin": untold, "twin_told": told}
