"""The compiled programs of a pipeline: one function per network, and one for all sampling steps.

Networks are frozen values, so they are static arguments here: two pipelines of the same shape share compiled programs.
"""

import dataclasses
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from dynamicid_jax.diffusion.guidance import classifier_free_guidance
from dynamicid_jax.diffusion.plans import SamplerPlan
from dynamicid_jax.diffusion.samplers import LoopState, Sampler, denoise_loop
from dynamicid_jax.diffusion.schedule import PredictionType
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.semantic_attention import GATE_MAPS
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import AllContexts, UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Params


@struct.dataclass
class Conditions:
    """Everything that steers a picture and does not depend on the timestep.

    Rows of `contexts`: under guidance first the unconditional ones, then the conditional ones, one per picture.
    For `run_many` every array has an axis of requests before its own axes.
    """

    contexts: AllContexts
    layout: FaceLayout | None
    layout_strength: Float[Array, "*r"]
    layout_steps: Int[Array, "*r"]
    guidance_scale: Float[Array, "*r"]
    guided: bool = struct.field(pytree_node=False, default=True)


def _apply(net: nn.Module, variables: Params, *inputs: Array) -> Any:
    """`net.apply` without mutable collections, whose type would otherwise be a union."""
    return net.apply(variables, *inputs)


@partial(jax.jit, static_argnames="net")
def encode_text(
    net: TextEncoder, params: Params, ids: Int[Array, "b l"]
) -> tuple[Float[Array, "b l x"], Float[Array, "b x"]]:
    """Token ids to states and the pooled state."""
    return _apply(net, {"params": params}, ids)


@partial(jax.jit, static_argnames=("image_encoder", "projection"))
def encode_face(
    image_encoder: ImageEncoder,
    projection: FaceProjection,
    image_params: Params,
    projection_params: Params,
    embedding: Float[Array, "b e"],
    pixels: Float[Array, "b h w 3"],
) -> Float[Array, "b t x"]:
    """Id embeddings and CLIP-normalised pictures to face tokens."""
    features, _ = _apply(image_encoder, {"params": image_params}, pixels)
    return _apply(projection, {"params": projection_params}, embedding, features)


@partial(jax.jit, static_argnames="net")
def encode_keypoints(
    net: KeypointEncoder, params: Params, stats: Params, raster: Float[Array, "b 96 96 1"]
) -> Float[Array, "b k"]:
    """Landmark rasters to keypoint features."""
    return _apply(net, {"params": params, "batch_stats": stats}, raster)


@partial(jax.jit, static_argnames="net")
def reconfigure(
    net: IMR,
    params: Params,
    tokens: Float[Array, "1 t x"],
    source: tuple[Array, Array],
    target: tuple[Array, Array],
) -> Float[Array, "m t x"]:
    """Replaces the source's motion by each target's; a motion is (keypoint features, pooled text)."""
    return _apply(net, {"params": params}, tokens, *source, *target)


@partial(jax.jit, static_argnames=("unet", "pictures"))
def project(
    unet: UNet,
    weights: dict[str, Params],
    text: Float[Array, "b l x"],
    faces: Float[Array, "b p t x"] | None,
    pictures: int,
) -> AllContexts:
    """Keys and values of every cross-attention, once for all steps; every row repeated for `pictures` pictures."""
    contexts = unet.apply(weights, text, faces, method="project")
    return jax.tree.map(lambda x: jnp.repeat(x, pictures, axis=0), contexts)


@partial(jax.jit, static_argnames="unet")
def project_many(
    unet: UNet,
    weights: dict[str, Params],
    text: Float[Array, "r b l x"],
    faces: Float[Array, "r b p t x"] | None,
) -> AllContexts:
    """`project` for many requests of one picture each; the results have the axis r first, too."""

    def one(text: Array, faces: Array | None) -> Any:
        return unet.apply(weights, text, faces, method="project")

    return jax.vmap(one)(text, faces)


def denoiser(unet: UNet, weights: dict[str, Params], conditions: Conditions) -> Any:
    """The guided UNet as a function of latents, a row of the sampler's plan, and the step."""

    def model(latents: Array, row: SamplerPlan, step: Array) -> tuple[Array, Params]:
        pictures = latents.shape[0]
        layout = conditions.layout
        if layout is not None:
            early = step < conditions.layout_steps
            strength = jnp.where(early, conditions.layout_strength, 0.0)
            layout = dataclasses.replace(layout, strength=strength)
        rows = jnp.concatenate([latents, latents]) if conditions.guided else latents
        timestep = jnp.broadcast_to(row.timestep, rows.shape[:1])
        prediction, state = unet.apply(
            weights,
            rows,
            timestep,
            conditions.contexts,
            layout,
            method="denoise",
            mutable=[GATE_MAPS],
        )
        gates = jax.tree.map(lambda gate: gate[-pictures:], state.get(GATE_MAPS, {}))
        if conditions.guided:
            prediction = classifier_free_guidance(prediction, conditions.guidance_scale)
        return prediction, gates

    return model


@partial(jax.jit, static_argnames=("unet", "sampler", "prediction_type"), donate_argnames="state")
def run_steps(
    unet: UNet,
    sampler: Sampler,
    prediction_type: PredictionType,
    weights: dict[str, Params],
    conditions: Conditions,
    plan: SamplerPlan,
    state: LoopState,
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> LoopState:
    """Sampling steps `start` to `stop` of the plan, in one compiled loop.

    One program serves every slice of the steps: the caller takes all steps at once, or slices to show progress between.
    """
    model = denoiser(unet, weights, conditions)
    return denoise_loop(model, sampler, prediction_type, plan, state, start, stop)


@partial(jax.jit, static_argnames=("unet", "sampler", "prediction_type"))
def run_many(
    unet: UNet,
    sampler: Sampler,
    prediction_type: PredictionType,
    weights: dict[str, Params],
    conditions: Conditions,
    plan: SamplerPlan,
    latents: Float[Array, "r 1 h w c"],
    keys: Array,
    stop: Int[Array, ""],
) -> tuple[Float[Array, "r 1 h w c"], Params, Int[Array, " r"]]:
    """All steps of many requests of one picture each; `conditions` have an axis r before every other.

    Returns:
        Latents, sums of the gate maps over the steps, and each picture's first step that was not finite, or -1.
    """

    def one(conditions: Conditions, latents: Array, keys: Array) -> tuple[Array, Params, Array]:
        state = start_state(unet, sampler, weights, conditions, plan, latents, keys)
        model = denoiser(unet, weights, conditions)
        done = denoise_loop(model, sampler, prediction_type, plan, state, jnp.int32(0), stop)
        return done.latents, done.aux_sum, done.first_bad

    return jax.vmap(one)(conditions, latents, keys)


@partial(jax.jit, static_argnames=("unet", "sampler"))
def start_state(
    unet: UNet,
    sampler: Sampler,
    weights: dict[str, Params],
    conditions: Conditions,
    plan: SamplerPlan,
    latents: Float[Array, "b h w 4"],
    keys: Array,
) -> LoopState:
    """The loop's state before the first step: nothing is computed, only the gate maps' shapes are found."""
    row = jax.tree.map(lambda x: x[0], plan)
    _, gates = jax.eval_shape(denoiser(unet, weights, conditions), latents, row, jnp.int32(0))
    return LoopState.start(sampler, latents, keys, gates)


@partial(jax.jit, static_argnames="net")
def decode(net: VAE, params: Params, latents: Float[Array, "b h w c"]) -> Float[Array, "b H W 3"]:
    """Unscaled latents to pictures, one at a time: a 512 px picture needs about 2 GB on the way."""
    return jax.lax.map(
        lambda one: net.apply({"params": params}, one[None], method="decode")[0], latents
    )
