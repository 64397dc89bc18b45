"""Our sampling, timed: one guided step as the loop runs it, and whole pictures through the pipeline."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import STEPS

from dynamicid_jax.diffusion.samplers import SAMPLERS
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.flops import count_flops
from dynamicid_jax.host_memory import trim
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.generator import PLAN_ROWS
from dynamicid_jax.inference.layout import face_layout, map_sizes, places
from dynamicid_jax.inference.pipeline import DynamicIDPipeline
from dynamicid_jax.inference.random_model import CONFIGS, random_weights
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.lora import fold
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Params


@dataclass(frozen=True)
class Step:
    """The UNet with its adapter folded, and nothing else."""

    config: ModelConfig
    unet: UNet
    variables: Params


def load_step(size: str, dtype: Any = jnp.float32) -> Step:
    """Random weights of the UNet and the adapter, made one tensor at a time."""
    parts = dict.fromkeys(("image_encoder", "face_projection", "keypoint_encoder", "imr"))
    config = replace(CONFIGS[size](), **parts)
    wanted = ("unet", "adapter")
    weights = random_weights(config, place=lambda one: jnp.asarray(one, dtype), only=wanted)
    base, rest, adapter = fold(weights.pop("unet"), weights.pop("adapter"), config.adapter)
    trim()
    unet = UNet(config.unet, adapter, dtype, backend=jax.default_backend())
    return Step(config, unet, {"params": base, "adapter": rest})


def guided_step(step: Step, pixels: int, people: int) -> Callable[[], float]:
    """Seconds per guided step of the pipeline's compiled loop, with so many people, each in a box."""
    unet, variables, config = step.unet, step.variables, step.config
    cells, key = pixels // config.vae.downscale, jax.random.key(0)
    width = config.unet.context_width
    faces = layout = None
    if people:
        boxes = [(i / people, 0.1, (i + 0.9) / people, 0.9) for i in range(people)]
        sizes = map_sizes(cells, cells, len(config.unet.block_channels))
        layout = face_layout(boxes, jnp.eye(places(people)), sizes)
        faces = jax.random.normal(key, (2, places(people), 4, width))
    text = jax.random.normal(key, (2, 77, width))
    conditions = networks.Conditions(
        contexts=networks.project(unet, variables, text, faces, None, 1),
        layout=layout,
        layout_strength=jnp.float32(2),
        layout_steps=jnp.int32(1),
        guidance_scale=jnp.float32(5),
    )
    sampler = SAMPLERS["ddim"]
    plan = sampler.plan(NoiseSchedule.from_config(config.schedule), STEPS)
    # As in the pipeline: the same program for any number of steps.
    plan = jax.tree.map(lambda x: jnp.pad(x, (0, -STEPS % PLAN_ROWS)), plan)
    steps = networks.make_steps(unet, variables, plan)
    noise = jax.random.normal(key, (1, cells, cells, config.unet.in_channels))

    def run() -> float:
        keys = jax.random.split(key, 1)
        state = networks.start_state(unet, variables, conditions, steps, jnp.array(noise), keys)
        jax.block_until_ready(state)
        begin = time.perf_counter()
        bounds = jnp.int32(0), jnp.int32(STEPS)
        done = networks.run_steps(
            unet, sampler, "epsilon", variables, conditions, steps, state, *bounds
        )
        jax.block_until_ready(done)
        return (time.perf_counter() - begin) / STEPS

    return run


def load_pipeline(size: str, dtype: str) -> DynamicIDPipeline:
    """A whole model of random weights, made one tensor at a time."""
    import tempfile

    from dynamicid_jax.inference.random_model import known_merges
    from dynamicid_jax.inference.tokenizer import Tokenizer
    from dynamicid_jax.inference.tokenizer_files import write_tokenizer

    config = CONFIGS[size]()
    weights = random_weights(config, place=lambda one: jnp.asarray(one, dtype))
    length = config.text_encoder.max_length
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), length, known_merges(config.text_encoder))
        tokenizer = Tokenizer(Path(folder), length)
    return DynamicIDPipeline(config, weights, tokenizer, dtype=dtype)


def picture(pipe: DynamicIDPipeline, people: int = 1, **options: Any) -> Callable[[], float]:
    """Seconds from the call to pictures in the host's memory; persons are given by their tokens."""
    dice = np.random.default_rng(0)
    tokens = dice.normal(size=(people, *pipe.token_shape)) if people else []
    who = [
        pipe.person(face_tokens=one, box=(i / people, 0.0, (i + 1) / people, 1.0))
        for i, one in enumerate(tokens)
    ]
    pipe.warm_up(people, boxes=True, **options)

    def run() -> float:
        begin = time.perf_counter()
        pipe("two friends at the sea", who, **options)
        return time.perf_counter() - begin

    return run


@functools.cache
def unet_tflop(size: str, pixels: int) -> float:
    """One forward pass of the plain UNet on one picture."""
    config = CONFIGS[size]()
    cells = pixels // config.vae.downscale
    shape = jax.ShapeDtypeStruct
    inputs = (
        shape((1, cells, cells, config.unet.in_channels), jnp.float32),
        shape((1,), jnp.float32),
        shape((1, 77, config.unet.context_width), jnp.float32),
    )
    return _tflop(UNet(config.unet), *inputs)


@functools.cache
def decode_tflop(size: str, pixels: int) -> float:
    """The decoder on one picture."""
    config = CONFIGS[size]()
    cells = pixels // config.vae.downscale
    shape = (1, cells, cells, config.vae.latent_channels)
    return _tflop(VAE(config.vae), jax.ShapeDtypeStruct(shape, jnp.float32), method="decode")


def _tflop(net: Any, *inputs: Any, **options: Any) -> float:
    shapes = jax.eval_shape(functools.partial(net.init, **options), jax.random.key(0), *inputs)
    return count_flops(functools.partial(net.apply, **options), shapes, *inputs)["total"] / 1e12


def picture_tflop(
    size: str, pixels: int, steps: int, pictures: int = 1, guided: bool = True
) -> float:
    """Steps, of two passes where they are guided, and decoding."""
    passes = (2 if guided else 1) * steps
    return pictures * (passes * unet_tflop(size, pixels) + decode_tflop(size, pixels))


def matrix_rate(width: int = 4096, dtype: Any = jnp.float32) -> float:
    """TFLOP/s of one large matrix product on this machine, the best of five."""
    x = jnp.ones((width, width), dtype)
    product = jax.jit(lambda a, b: a @ b)
    product(x, x).block_until_ready()

    def once() -> float:
        begin = time.perf_counter()
        product(x, x).block_until_ready()
        return time.perf_counter() - begin

    return 2 * width**3 / min(once() for _ in range(5)) / 1e12
