"""How the face branch may begin: silent, and with its gates on the faces.

METHOD's Wk and Wv start as copies of the text's k and v (section 5). Where a model's words and face tokens have nothing
in common yet, what they add is noise, and the loss falls fastest by closing the gate where noise costs most: in the
faces, whose cells count `loss.face_weight` times. Below the gate's threshold there is no gradient, so what has closed
stays closed, and people are then told by everything but their faces. Hence, with `model.quiet_start`:

    Wv <- 0         nothing is added until it helps
    Wk <- -Wk       in every layer whose gate is lower inside the first batch's faces than outside

Measured on the mini model: docs/MINI_LOG.md.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array

from dynamicid_jax.diffusion import losses
from dynamicid_jax.training import examples
from dynamicid_jax.training.examples import Batch, Constants
from dynamicid_jax.training.gate_means import inside_and_outside
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

MIDDLE = 0.4  # of all timesteps: where the base draws faces


def quiet(
    networks: Networks, weights: Params, constants: Constants, batch: Batch, seed: int
) -> Params:
    """The adapter's weights {path: ...} with a silent face branch, its gates turned to the faces of a batch.

    Args:
        networks: of the model.
        weights: all that `anchoring` reads.
        constants: likewise.
        batch: of `anchoring`, with face boxes; several processes may have one each, the first one's decides.
        seed: of the noise under which gates are looked at.
    """
    flat = {
        path: np.zeros_like(value) if path.endswith("face_v/kernel") else np.asarray(value)
        for path, value in flatten(weights["adapter"]).items()
    }
    silent = {**weights, "adapter": nest(flat)}
    leanings = jax.jit(partial(gate_leanings, networks))(
        silent, constants, batch, jax.random.key(seed)
    )
    for gate, leaning in multihost_utils.broadcast_one_to_all(flatten(leanings)).items():
        if leaning < 0:
            path = gate.replace("/gate", "/face_k/kernel")
            flat[path] = -flat[path]
    return nest(flat)


def gate_leanings(
    networks: Networks, weights: Params, constants: Constants, batch: Batch, key: Array
) -> dict[str, Any]:
    """{layer: mean gate inside the face boxes less that outside}, on noisy latents of a batch.

    Before the threshold, so that turning a layer's Wk turns its sign, exactly.
    """
    keys = jax.random.split(key)
    clean = examples.latents(networks, weights, batch, keys[0])
    count, steps = clean.shape[0], networks.config.schedule.num_train_timesteps
    at = jnp.full(count, int(MIDDLE * steps))
    noise = losses.Noise(at, jax.random.normal(keys[1], clean.shape))
    shown = jnp.zeros(count, bool)
    text = examples.text_states(networks, weights, batch, constants, shown)
    faces = examples.face_tokens(networks, weights, batch, constants, shown)[:, None]
    gates = losses.denoising_rows(networks, weights, clean, noise, text, faces).gates
    box, alike = batch["face_box"], jnp.ones(count)
    lean = lambda level: jnp.subtract(*inside_and_outside(level, box, alike))  # noqa: E731
    return jax.tree.map(lean, gates.levels)
