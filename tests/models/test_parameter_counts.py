"""Full-size networks have exactly the published numbers of parameters (nothing is allocated)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from dynamicid_jax.models.configs import (
    FaceProjectionConfig,
    ImageEncoderConfig,
    IMRConfig,
    KeypointEncoderConfig,
    TextEncoderConfig,
    VAEConfig,
)
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.vae import VAE


def floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def integers(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


IMR_INPUTS = (floats(1, 4, 768), floats(1, 768), floats(1, 768), floats(2, 768), floats(2, 768))

# name: (network, inputs that touch all its parameters, collection, count)
NETWORKS: dict[str, tuple[nn.Module, tuple[Any, ...], str, int]] = {
    "vae": (VAE(VAEConfig()), (floats(1, 512, 512, 3),), "params", 83_653_863),
    "text encoder": (
        TextEncoder(TextEncoderConfig()),
        (integers(1, 77),),
        "params",
        123_060_480,
    ),
    "image encoder": (
        ImageEncoder(ImageEncoderConfig()),
        (floats(1, 224, 224, 3),),
        "params",
        632_076_800,
    ),
    "face projection": (
        FaceProjection(FaceProjectionConfig()),
        (floats(1, 512), floats(1, 257, 1280)),
        "params",
        33_581_568,
    ),
    "imr of depth 1": (IMR(IMRConfig()), IMR_INPUTS, "params", 40_926_464),
    "imr of depth 4": (
        IMR(IMRConfig(disentangle_depth=4, entangle_depth=4)),
        IMR_INPUTS,
        "params",
        141_638_912,
    ),
    "keypoint encoder": (
        KeypointEncoder(KeypointEncoderConfig()),
        (floats(1, 96, 96, 1),),
        "params",
        8_298_976,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_full_size_network_has_the_published_parameter_count(name: str) -> None:
    network, inputs, collection, expected = NETWORKS[name]
    variables = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    leaves = jax.tree.leaves(variables[collection])
    assert sum(math.prod(leaf.shape) for leaf in leaves) == expected
