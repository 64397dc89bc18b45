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
from jaxtyping import Array, Bool, Float, Int, UInt8

from dynamicid_jax.diffusion.guidance import classifier_free_guidance
from dynamicid_jax.diffusion.plans import SamplerPlan
from dynamicid_jax.diffusion.samplers import LoopState, Sampler, denoise_loop
from dynamicid_jax.diffusion.schedule import PredictionType
from dynamicid_jax.inference import tiles
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.semantic_attention import GATE_MAPS, Context
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import AllContexts, AllShifts, UNet
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


@struct.dataclass
class Steps:
    """What changes from step to step and is the same for every picture; axis s: the rows of the plan.

    Attributes:
        plan: the sampler's table.
        shifts: what the timestep adds in every resnet, made for all steps at once.
        guided: the steps that guidance acts at, the others cost half; None: all of them, and no choice is compiled.
    """

    plan: SamplerPlan
    shifts: AllShifts
    guided: Bool[Array, " s"] | None = None


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
    strengths: Float[Array, "p"] | None,
    pictures: int,
) -> AllContexts:
    """Keys and values of every cross-attention, once for all steps; every row repeated for `pictures` pictures.

    A person's strength is a factor of their values, and so of what they add to the picture; the gate stays as it is.
    """
    contexts = _strengthened(unet.apply(weights, text, faces, method="project"), strengths)
    return jax.tree.map(lambda x: jnp.repeat(x, pictures, axis=0), contexts)


@partial(jax.jit, static_argnames="unet")
def project_many(
    unet: UNet,
    weights: dict[str, Params],
    text: Float[Array, "r b l x"],
    faces: Float[Array, "r b p t x"] | None,
    strengths: Float[Array, "r p"] | None,
) -> AllContexts:
    """`project` for many requests of one picture each; the results have the axis r first, too."""

    def one(text: Array, faces: Array | None, strengths: Array | None) -> Any:
        return _strengthened(unet.apply(weights, text, faces, method="project"), strengths)

    return jax.vmap(one)(text, faces, strengths)


def _strengthened(contexts: Any, strengths: Float[Array, "p"] | None) -> Any:
    """Faces' values times their person's strength."""
    if strengths is None:
        return contexts

    def one(context: Context) -> Context:
        if context.faces is None:
            return context
        value = context.faces.value
        factor = strengths.astype(value.dtype)[None, :, None, None, None]
        faces = dataclasses.replace(context.faces, value=value * factor)
        return dataclasses.replace(context, faces=faces)

    return jax.tree.map(one, contexts, is_leaf=lambda node: isinstance(node, Context))


@partial(jax.jit, static_argnames="unet")
def make_steps(
    unet: UNet,
    weights: dict[str, Params],
    plan: SamplerPlan,
    guided: Bool[Array, " s"] | None = None,
) -> Steps:
    """The table of a run, with the time embeddings of all its steps."""
    shifts: Any = unet.apply(weights, plan.timestep, method="embed_time")
    return Steps(plan, shifts, guided)


def denoiser(unet: UNet, weights: dict[str, Params], conditions: Conditions, steps: Steps) -> Any:
    """The guided UNet as a function of latents, a row of the sampler's plan, and the step."""

    def model(latents: Array, row: SamplerPlan, step: Array) -> tuple[Array, Params]:
        pictures = latents.shape[0]
        layout = conditions.layout
        if layout is not None:
            early = step < conditions.layout_steps
            strength = jnp.where(early, conditions.layout_strength, 0.0)
            layout = dataclasses.replace(layout, strength=strength)
        shifts = jax.tree.map(lambda column: column[step][None], steps.shifts)

        def predict(rows: Array, contexts: AllContexts) -> tuple[Array, Params]:
            prediction, state = unet.apply(
                weights, rows, shifts, contexts, layout, method="denoise", mutable=[GATE_MAPS]
            )
            gates = jax.tree.map(lambda gate: gate[-pictures:], state.get(GATE_MAPS, {}))
            return prediction, gates

        def guided(latents: Array) -> tuple[Array, Params]:
            prediction, gates = predict(latents, conditions.contexts)
            return classifier_free_guidance(prediction, conditions.guidance_scale), gates

        def conditional(latents: Array) -> tuple[Array, Params]:
            contexts = jax.tree.map(lambda x: x[-pictures:], conditions.contexts)
            return predict(latents, contexts)

        if not conditions.guided:
            return conditional(latents)
        if steps.guided is None:
            return guided(latents)
        return jax.lax.cond(steps.guided[step], guided, conditional, latents)

    return model


@partial(jax.jit, static_argnames=("unet", "sampler", "prediction_type"), donate_argnames="state")
def run_steps(
    unet: UNet,
    sampler: Sampler,
    prediction_type: PredictionType,
    weights: dict[str, Params],
    conditions: Conditions,
    steps: Steps,
    state: LoopState,
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> LoopState:
    """Sampling steps `start` to `stop` of the table, in one compiled loop.

    One program serves every slice of the steps: the caller takes all steps at once, or slices to show progress between.
    """
    model = denoiser(unet, weights, conditions, steps)
    return denoise_loop(model, sampler, prediction_type, steps.plan, state, start, stop)


@partial(jax.jit, static_argnames=("unet", "sampler", "prediction_type"))
def run_many(
    unet: UNet,
    sampler: Sampler,
    prediction_type: PredictionType,
    weights: dict[str, Params],
    conditions: Conditions,
    steps: Steps,
    latents: Float[Array, "r 1 h w c"],
    keys: Array,
    stop: Int[Array, ""],
) -> tuple[Float[Array, "r 1 h w c"], Params, Int[Array, " r"]]:
    """All steps of many requests of one picture each; `conditions` have an axis r before every other.

    Returns:
        Latents, sums of the gate maps over the steps, and each picture's first step that was not finite, or -1.
    """

    def one(conditions: Conditions, latents: Array, keys: Array) -> tuple[Array, Params, Array]:
        state = start_state(unet, weights, conditions, steps, latents, keys)
        model = denoiser(unet, weights, conditions, steps)
        done = denoise_loop(model, sampler, prediction_type, steps.plan, state, jnp.int32(0), stop)
        return done.latents, done.aux_sum, done.first_bad

    return jax.vmap(one)(conditions, latents, keys)


@partial(jax.jit, static_argnames="unet")
def start_state(
    unet: UNet,
    weights: dict[str, Params],
    conditions: Conditions,
    steps: Steps,
    latents: Float[Array, "b h w c"],
    keys: Array,
) -> LoopState:
    """The loop's state before the first step: nothing is computed, only the gate maps' shapes are found."""
    row = jax.tree.map(lambda x: x[0], steps.plan)
    model = denoiser(unet, weights, conditions, steps)
    _, gates = jax.eval_shape(model, latents, row, jnp.int32(0))
    return LoopState.start(latents, keys, gates)


@partial(jax.jit, static_argnames=("net", "tile"))
def decode(
    net: VAE, params: Params, latents: Float[Array, "b h w c"], tile: int | None = None
) -> UInt8[Array, "b H W 3"]:
    """Latents as they were sampled to pictures, one at a time: a 512 px picture needs about 2 GB on the way.

    Args:
        net: the autoencoder.
        params: its parameters.
        latents: scaled.
        tile: decode squares of so many cells and blend them (`tiles`); None: the whole picture at once.
    """

    def whole(cells: Array) -> Array:
        return net.apply({"params": params}, cells[None], method="decode")[0]

    def one(cells: Array) -> Array:
        if tile is None or max(cells.shape[:2]) <= tile:
            picture = whole(cells)
        else:
            picture = tiles.blended(whole, cells, tile, net.config.downscale)
        return jnp.round(jnp.clip(picture / 2 + 0.5, 0, 1) * 255).astype(jnp.uint8)

    return jax.lax.map(one, latents / net.config.scaling_factor)
