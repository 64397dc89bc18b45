"""From a batch, raw or precomputed, to what the losses take: latents, text states, face tokens (data/batch.py).

`constants` are the few fixed inputs that a loss needs beside its batch:

    null_features   [1 m c]  image features of all-zero pixels: the unconditional tokens' picture
    empty_ids       [1 l]    the empty prompt, for a dropped text
    empty_text      [1 l x]  its states, where the text encoder is frozen
    ldc_text        [1 l x]  states of METHOD's fixed prompt for the latent loss
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from dynamicid_jax.training.networks import Networks
from dynamicid_jax.types import Params

Batch = dict[str, Array]
Constants = dict[str, Array]


def latents(
    networks: Networks, weights: Params, batch: Batch, key: Array
) -> Float[Array, "b h w z"]:
    """A draw from the pictures' latents, scaled for diffusion."""
    found = batch["moments"] if "moments" in batch else moments(networks, weights, batch["pixels"])
    mean, logvar = jnp.split(found.astype(jnp.float32), 2, axis=-1)
    drawn = mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape)
    return networks.config.vae.scaling_factor * drawn


def moments(
    networks: Networks, weights: Params, pixels: UInt8[Array, "*b H W 3"]
) -> Float[Array, "*b h w z2"]:
    """Mean and log variance of the pictures' unscaled latents, beside each other; no gradient goes through."""
    rows = networks.pictures(pixels.reshape(-1, *pixels.shape[-3:]))
    found = jnp.concatenate(networks.encode(weights, rows), axis=-1)
    return jax.lax.stop_gradient(found).reshape(*pixels.shape[:-3], *found.shape[1:])


def text_states(
    networks: Networks, weights: Params, batch: Batch, constants: Constants, drop: Bool[Array, " b"]
) -> Float[Array, "b l x"]:
    """States of the prompts; of the empty prompt where `drop` says so."""
    if "text_states" in batch:
        return jnp.where(drop[:, None, None], constants["empty_text"], batch["text_states"])
    ids = jnp.where(drop[:, None], constants["empty_ids"], batch["text_ids"])
    return networks.text(weights, ids)[0]


def face_tokens(
    networks: Networks, weights: Params, batch: Batch, constants: Constants, drop: Bool[Array, " b"]
) -> Float[Array, "b t x"]:
    """Tokens of each row's face; the unconditional ones (zero embedding, zero pixels) where `drop` says so."""
    embedding = jnp.where(drop[:, None], 0.0, batch["id_embedding"].astype(jnp.float32))
    features = image_features(networks, weights, batch)
    features = jnp.where(drop[:, None, None], constants["null_features"], features)
    return networks.face_tokens(weights, embedding, features)


def image_features(networks: Networks, weights: Params, batch: Batch) -> Float[Array, "b m c"]:
    """The image encoder's view of each row's reference."""
    if "image_features" in batch:
        return batch["image_features"]
    pixels = shown(networks, batch["reference"])
    return jax.lax.stop_gradient(networks.image_features(weights, pixels))


def shown(networks: Networks, pictures: UInt8[Array, "b h w 3"]) -> Float[Array, "b S S 3"]:
    """Square pictures as the image encoder sees them: at its size, normalised."""
    config = networks.config.image_encoder
    assert config is not None
    side = config.image_size
    values = pictures.astype(jnp.float32)
    if pictures.shape[1] != side:
        values = jax.image.resize(values, (values.shape[0], side, side, 3), "cubic")
    mean, std = (jnp.array(v, jnp.float32)[None, None, None] for v in (config.mean, config.std))
    return (values / 255 - mean) / std


def pooled_face_text(networks: Networks, weights: Params, batch: Batch) -> Float[Array, "b x"]:
    """Pooled state of each row's face prompt."""
    if "face_text" in batch:
        return batch["face_text"].astype(jnp.float32)
    return jax.lax.stop_gradient(networks.text(weights, batch["face_text_ids"])[1])


def flat_groups(batch: Batch) -> Batch:
    """A grouped batch [b k ...] as rows [b k, ...]; `person` keeps one entry per group."""
    return {
        name: value if name == "person" else value.reshape(-1, *value.shape[2:])
        for name, value in batch.items()
    }
