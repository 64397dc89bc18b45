"""The exported sampler against the pipeline: the same prompts, seeds, people and boxes."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert.load import Loaded
from dynamicid_jax.export.compare import largest
from dynamicid_jax.export.programs import Sizes
from dynamicid_jax.inference.pipeline import DynamicIDPipeline
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.vae import VAE

PROMPTS = ("two people before the sea", "a portrait")
NEGATIVE = "blurred"
SEEDS = (0, 2**32 - 1)
BOXES = ((0.05, 0.1, 0.45, 0.9), (0.5, 0.1, 1.0, 1.0))
GUIDANCE, STRENGTH, LAYOUT_STEPS, SCALE = 3.0, 2.0, 2, 0.8


def sampler_difference(
    call: Any, weights: Mapping[str, Any], loaded: Loaded, sizes: Sizes, dtype: str
) -> dict[str, float]:
    """Largest differences of pictures in [0, 1] and of latents (over their largest value), two pictures of two people.

    Args:
        call: the exported program.
        weights: what it takes.
        loaded: the model with LoRA folded in.
        sizes: what is fixed in the program.
        dtype: of the UNet's and text encoder's arithmetic.
    """
    tokenizer = Tokenizer(loaded.tokenizer_dir, loaded.config.text_encoder.max_length)
    pipe = DynamicIDPipeline(loaded.config, dict(loaded.weights), tokenizer, dtype=dtype)
    tokens = np.random.default_rng(0).standard_normal((len(BOXES), *pipe.token_shape), np.float32)
    people = [pipe.person(face_tokens=one, box=box) for one, box in zip(tokens, BOXES, strict=True)]
    latents = np.concatenate(
        [
            pipe(
                prompt,
                people,
                negative_prompt=NEGATIVE,
                height=sizes.height,
                width=sizes.width,
                steps=sizes.steps,
                sampler=sizes.sampler,
                guidance_scale=GUIDANCE,
                seed=seed,
                identity_scale=SCALE,
                layout_strength=STRENGTH,
                layout_steps=LAYOUT_STEPS,
            ).latents
            for prompt, seed in zip(PROMPTS, SEEDS, strict=True)
        ]
    )
    vae = VAE(loaded.config.vae)
    scaled = jnp.asarray(latents) / loaded.config.vae.scaling_factor
    decode = jax.jit(partial(vae.apply, method="decode"))
    pixels = np.asarray(decode({"params": loaded.weights["vae"]}, scaled))
    rows = len(PROMPTS)
    made = jax.jit(call)(
        weights,
        {
            "ids": tokenizer(PROMPTS),
            "negative_ids": tokenizer([NEGATIVE] * rows),
            "seed": np.array(SEEDS, np.uint32),
            "faces": np.tile(tokens, (rows, 1, 1, 1)),
            "boxes": np.tile(np.array(BOXES, np.float32), (rows, 1, 1)),
            "identity_scale": np.float32(SCALE),
            "guidance_scale": np.float32(GUIDANCE),
            "layout_strength": np.float32(STRENGTH),
            "layout_steps": np.int32(LAYOUT_STEPS),
        },
    )
    pictures = np.clip(pixels / 2 + 0.5, 0, 1)
    return {
        "pictures": largest(pictures, made["pictures"], "pictures"),
        "latents": largest(latents, made["latents"], "latents") / float(np.abs(latents).max()),
    }
