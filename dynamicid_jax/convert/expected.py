"""The parameter shapes of a model, from its modules themselves, without computing anything."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.trees import flatten

Collections = dict[str, str]  # the module's collection -> our component


def expected_shapes(config: ModelConfig) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """Every component that `config` has: {component: {path: shape and float32}}."""
    shapes: dict[str, dict[str, jax.ShapeDtypeStruct]] = {}
    for module, inputs, collections in network_inputs(config):
        variables = _variables(module, inputs)
        for collection, component in collections.items():
            shapes[component] = flatten(variables.get(collection, {}))
    return shapes


@functools.lru_cache(maxsize=64)  # tracing a UNet takes a second, and checks ask more than once
def _variables(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)


def flat_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The same as {"component/path": shape}: what rule tables and files are checked with."""
    return {
        f"{component}/{path}": tuple(leaf.shape)
        for component, leaves in expected_shapes(config).items()
        for path, leaf in leaves.items()
    }


def _array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def network_inputs(
    config: ModelConfig,
) -> Iterator[tuple[nn.Module, tuple[Any, ...], Collections]]:
    """Each module with inputs that touch all of its parameters."""
    yield _unet(config)
    size = config.vae.downscale
    yield VAE(config.vae), (_array(1, size, size, config.vae.in_channels),), {"params": "vae"}
    text = config.text_encoder
    ids = _array(1, text.max_length, dtype=jnp.int32)
    yield TextEncoder(text), (ids,), {"params": "text_encoder"}
    if config.image_encoder is not None:
        side = config.image_encoder.image_size
        pixels = _array(1, side, side, 3)
        yield ImageEncoder(config.image_encoder), (pixels,), {"params": "image_encoder"}
    if config.face_projection is not None:
        face = config.face_projection
        inputs = (_array(1, face.id_width), _array(1, 2, face.image_width))
        yield FaceProjection(face), inputs, {"params": "face_projection"}
    if config.keypoint_encoder is not None:
        parts = {"params": "keypoint_encoder", "batch_stats": "keypoint_stats"}
        yield KeypointEncoder(config.keypoint_encoder), (_array(1, 96, 96, 1),), parts
    if config.imr is not None:
        imr = config.imr
        tokens = _array(1, imr.tokens_per_person, imr.context_width)
        motion = (_array(1, imr.keypoint_width), _array(1, imr.text_width))
        yield IMR(imr), (tokens, *motion, *motion), {"params": "imr"}


def _unet(config: ModelConfig) -> tuple[nn.Module, tuple[Any, ...], Collections]:
    unet = config.unet
    side = 2 ** (len(unet.block_channels) - 1)
    inputs = [_array(1, side, side, unet.in_channels), _array(1), _array(1, 1, unet.context_width)]
    if config.adapter is None:
        return UNet(unet), tuple(inputs), {"params": "unet"}
    inputs.append(_array(1, 1, 1, unet.context_width))
    return UNet(unet, config.adapter), tuple(inputs), {"params": "unet", "adapter": "adapter"}
