"""Model folders with random weights: for trying the machinery, measuring speed, and tests. Their pictures are noise."""

import zlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dynamicid_jax.inference.tokenizer_files import BYTES, Pair, vocabulary_size, write_tokenizer
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    ImageEncoderConfig,
    IMRConfig,
    KeypointEncoderConfig,
    ModelConfig,
    SamplingConfig,
    ScheduleConfig,
    TextEncoderConfig,
    UNetConfig,
    VAEConfig,
)


def sd15_config() -> ModelConfig:
    """SD1.5 with every part of the published DynamicID, ViT-H/14 as image encoder."""
    return ModelConfig(
        image_encoder=ImageEncoderConfig(),
        adapter=AdapterConfig(),
        face_projection=FaceProjectionConfig(),
        keypoint_encoder=KeypointEncoderConfig(),
        imr=IMRConfig(null_keypoint=True),
        weights="random",
    )


def tiny_config() -> ModelConfig:
    """The same parts shrunk to 64 px pictures and a few megabytes."""
    width = 64
    return ModelConfig(
        unet=UNetConfig(
            block_channels=(16, 32, 48, 48),
            num_heads=(4, 4, 4, 4),
            context_width=width,
            norm_groups=8,
        ),
        vae=VAEConfig(block_channels=(8, 8, 16, 16), layers_per_block=1, norm_groups=4),
        text_encoder=TextEncoderConfig(
            vocab_size=514, width=width, num_layers=2, num_heads=4, mlp_width=128, eot_token_id=513
        ),
        image_encoder=ImageEncoderConfig(
            width=48, num_layers=3, num_heads=4, mlp_width=96, patch_size=32, projection_width=32
        ),
        adapter=AdapterConfig(lora_rank=4),
        face_projection=FaceProjectionConfig(image_width=48, context_width=width),
        keypoint_encoder=KeypointEncoderConfig(width=width),
        imr=IMRConfig(
            width=64,
            num_heads=4,
            head_width=16,
            context_width=width,
            keypoint_width=width,
            text_width=width,
            null_keypoint=True,
        ),
        sampling=SamplingConfig(steps=20, height=128, width=128),
        weights="random",
    )


def nano_config() -> ModelConfig:
    """The least that still has every part: for tests of training, whose programs take long to compile."""
    width = 32
    return ModelConfig(
        unet=UNetConfig(
            block_channels=(16, 32),
            transformer_depth=(1, 1),
            num_heads=(2, 2),
            layers_per_block=1,
            context_width=width,
            norm_groups=8,
        ),
        vae=VAEConfig(block_channels=(8, 16), layers_per_block=1, norm_groups=4),
        text_encoder=TextEncoderConfig(
            vocab_size=514, width=width, num_layers=1, num_heads=2, mlp_width=64, eot_token_id=513
        ),
        image_encoder=ImageEncoderConfig(
            width=32,
            num_layers=2,
            num_heads=2,
            mlp_width=64,
            patch_size=16,
            image_size=64,
            projection_width=32,
        ),
        adapter=AdapterConfig(lora_rank=2),
        face_projection=FaceProjectionConfig(
            image_width=32, context_width=width, depth=1, head_width=16
        ),
        keypoint_encoder=KeypointEncoderConfig(width=width, num_landmarks=5),
        imr=IMRConfig(
            width=32,
            num_heads=2,
            head_width=16,
            context_width=width,
            keypoint_width=width,
            text_width=width,
            null_keypoint=True,
        ),
        sampling=SamplingConfig(steps=4, height=64, width=64),
        weights="random",
    )


def mini_config() -> ModelConfig:
    """The model that is trained on the made-up world and shipped (docs/MINI.md): SD1.5's blocks at 96 px, 15 M values.

    2.5 GFLOP per UNet pass: a guided picture in 15 steps takes about a second on two cores.
    """
    from dynamicid_jax.world.words import merges

    width, latent, tokens = 128, 8, vocabulary_size(merges())
    return ModelConfig(
        unet=UNetConfig(
            in_channels=latent,
            out_channels=latent,
            block_channels=(64, 128, 160),
            transformer_depth=(1, 1, 1),
            num_heads=(4, 4, 4),
            layers_per_block=1,
            context_width=width,
            norm_groups=16,
        ),
        vae=VAEConfig(
            latent_channels=latent, block_channels=(32, 64, 64), layers_per_block=1, norm_groups=16
        ),
        text_encoder=TextEncoderConfig(
            vocab_size=tokens,
            width=width,
            num_layers=3,
            num_heads=4,
            mlp_width=3 * width,
            eot_token_id=tokens - 1,
        ),
        image_encoder=ImageEncoderConfig(
            width=128,
            num_layers=4,
            num_heads=4,
            mlp_width=384,
            patch_size=8,
            image_size=64,
            projection_width=width,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
        ),
        adapter=AdapterConfig(lora_rank=32),
        face_projection=FaceProjectionConfig(image_width=128, context_width=width, depth=2),
        keypoint_encoder=KeypointEncoderConfig(width=width, stem_channels=4),
        imr=IMRConfig(
            width=160,
            num_heads=4,
            head_width=40,
            context_width=width,
            keypoint_width=width,
            text_width=width,
            null_keypoint=True,
        ),
        schedule=ScheduleConfig(
            prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=0
        ),
        sampling=SamplingConfig("dpmpp_2m", steps=15, height=96, width=96, guidance_scale=3.0),
        weights="random",
    )


def mini_base_config() -> ModelConfig:
    """The mini model before people can be given to it: what its training starts from."""
    parts = ("adapter", "face_projection", "keypoint_encoder", "imr")
    return replace(mini_config(), **dict.fromkeys(parts))  # type: ignore[arg-type]


CONFIGS = {
    "nano": nano_config,
    "tiny": tiny_config,
    "mini": mini_config,
    "mini_base": mini_base_config,
    "sd15": sd15_config,
}


def known_merges(config: TextEncoderConfig) -> tuple[Pair, ...]:
    """Merges for a tokenizer that this text encoder can read: the world's words, or none for single bytes."""
    from dynamicid_jax.world.words import merges

    return () if config.vocab_size <= BYTES + 2 else merges()


def random_weights(
    config: ModelConfig,
    seed: int = 0,
    *,
    place: Callable[[np.ndarray], Any] = lambda array: array,
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Nested weights for every component: kernels with variance 1/inputs, norms at 1 and 0.

    Values depend on the seed and on each tensor's own path, so two configs agree wherever they share a tensor.

    Args:
        config: of the model.
        seed: of the values.
        place: makes each final array before the next tensor is drawn, so that the host holds one at a time.
        only: these components; None: all.
    """
    from dynamicid_jax.convert.expected import expected_shapes
    from dynamicid_jax.trees import nest

    return {
        component: nest(
            {
                path: place(_random(f"{component}/{path}", leaf.shape, seed))
                for path, leaf in leaves.items()
            }
        )
        for component, leaves in expected_shapes(config).items()
        if only is None or component in only
    }


def _random(path: str, shape: tuple[int, ...], seed: int) -> Float[np.ndarray, "..."]:
    name = path.rsplit("/", 1)[-1]
    if name in ("scale", "var"):
        return np.ones(shape, np.float32)
    if name in ("bias", "mean"):
        return np.zeros(shape, np.float32)
    generator = np.random.default_rng([seed, zlib.crc32(path.encode())])
    values = generator.standard_normal(shape, np.float32)
    # Kernels are [..., in, out]: variance 1/inputs keeps activations near 1. Embeddings are small, as in CLIP.
    inputs = float(np.prod(shape[:-1])) if len(shape) > 1 and name != "embedding" else 400.0
    values *= inputs**-0.5
    return values


def write_random_model(
    folder: str | Path,
    size: str = "tiny",
    *,
    seed: int = 0,
    tokenizer: str | Path | None = None,
    overwrite: bool = False,
    **changes: Any,
) -> Path:
    """Writes a model folder with random weights.

    Args:
        folder: where; must not exist unless `overwrite`.
        size: "tiny" or "sd15".
        seed: of the weights.
        tokenizer: a CLIP tokenizer folder to copy; None writes one that knows single bytes only.
        overwrite: replace an existing folder.
        changes: other values for fields of `ModelConfig`.
    """
    import tempfile

    from dynamicid_jax.convert import model_folder

    config = replace(CONFIGS[size](), **changes)
    with tempfile.TemporaryDirectory() as scratch:
        if tokenizer is None:
            tokenizer = Path(scratch)
            write_tokenizer(
                tokenizer, config.text_encoder.max_length, known_merges(config.text_encoder)
            )
        model_folder.save(
            folder, config, random_weights(config, seed), tokenizer, overwrite=overwrite
        )
    return Path(folder)
