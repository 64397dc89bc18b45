"""Our configs as the config files of diffusers and transformers: the inverse of base_configs.py and clip_configs.py."""

from typing import Any

from dynamicid_jax.convert.base_configs import CROSS, PLAIN
from dynamicid_jax.convert.clip_configs import BICUBIC
from dynamicid_jax.errors import ExportError
from dynamicid_jax.models.configs import (
    ImageEncoderConfig,
    ModelConfig,
    ScheduleConfig,
    TextEncoderConfig,
    UNetConfig,
    VAEConfig,
)

VERSION = "0.30.3"  # of diffusers: the one whose keys these are; later ones read them, too

Json = dict[str, Any]

MODEL_INDEX: Json = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": VERSION,
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def base_files(config: ModelConfig) -> dict[str, Json]:
    """Every config file of a diffusers folder, by its place in it.

    Raises:
        ExportError: a UNet that diffusers' config cannot describe.
    """
    side = config.sampling.height
    return {
        "model_index.json": MODEL_INDEX,
        "unet/config.json": unet_json(config.unet, side // config.vae.downscale),
        "vae/config.json": vae_json(config.vae, side),
        "text_encoder/config.json": text_json(config.text_encoder),
        "scheduler/scheduler_config.json": schedule_json(config.schedule),
    }


def unet_json(config: UNetConfig, sample_size: int) -> Json:
    """`unet/config.json`; `sample_size` is the side of the latents that it is used at.

    Raises:
        ExportError: depths that diffusers has no words for.
    """
    crosses = [depth > 0 for depth in config.transformer_depth]
    depths = [depth or 1 for depth in config.transformer_depth]
    if not crosses[-1]:
        depths[-1] = config.mid_transformer_depth
    if depths[-1] != config.mid_transformer_depth:
        raise ExportError(
            f"unet: its middle has {config.mid_transformer_depth} transformer blocks and its coarsest level "
            f"{depths[-1]}; diffusers' config has one number for both"
        )
    down = [CROSS["down"] if cross else PLAIN["down"] for cross in crosses]
    up = [CROSS["up"] if cross else PLAIN["up"] for cross in reversed(crosses)]
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": VERSION,
        "act_fn": "silu",
        "attention_head_dim": list(config.num_heads),  # diffusers' name for the number of heads
        "block_out_channels": list(config.block_channels),
        "center_input_sample": False,
        "cross_attention_dim": config.context_width,
        "down_block_types": down,
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": config.in_channels,
        "layers_per_block": config.layers_per_block,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-5,
        "norm_num_groups": config.norm_groups,
        "out_channels": config.out_channels,
        "sample_size": sample_size,
        "transformer_layers_per_block": depths,
        "up_block_types": up,
        "use_linear_projection": config.linear_projection,
    }


def vae_json(config: VAEConfig, sample_size: int) -> Json:
    """`vae/config.json`; `sample_size` is the side of the pictures that it is used at."""
    levels = len(config.block_channels)
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": VERSION,
        "act_fn": "silu",
        "block_out_channels": list(config.block_channels),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "in_channels": config.in_channels,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.layers_per_block,
        "norm_num_groups": config.norm_groups,
        "out_channels": config.in_channels,
        "sample_size": sample_size,
        "scaling_factor": config.scaling_factor,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def text_json(config: TextEncoderConfig) -> Json:
    """`text_encoder/config.json`."""
    return {
        "architectures": ["CLIPTextModel"],
        "bos_token_id": config.eot_token_id - 1,
        "eos_token_id": config.eot_token_id,
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "layer_norm_eps": config.norm_eps,
        "max_position_embeddings": config.max_length,
        "model_type": "clip_text_model",
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "pad_token_id": config.eot_token_id,
        "projection_dim": config.width,
        "vocab_size": config.vocab_size,
    }


def schedule_json(config: ScheduleConfig) -> Json:
    """`scheduler/scheduler_config.json`."""
    return {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": VERSION,
        "beta_end": config.beta_end,
        "beta_schedule": config.beta_schedule,
        "beta_start": config.beta_start,
        "clip_sample": False,
        "num_train_timesteps": config.num_train_timesteps,
        "prediction_type": config.prediction_type,
        "set_alpha_to_one": config.set_alpha_to_one,
        "steps_offset": config.steps_offset,
        "timestep_spacing": config.timestep_spacing,
    }


def image_files(config: ImageEncoderConfig) -> dict[str, Json]:
    """The config files of a CLIP vision folder, by name."""
    tower = {
        "architectures": ["CLIPVisionModelWithProjection"],
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "image_size": config.image_size,
        "intermediate_size": config.mlp_width,
        "layer_norm_eps": config.norm_eps,
        "model_type": "clip_vision_model",
        "num_attention_heads": config.num_heads,
        "num_channels": 3,
        "num_hidden_layers": config.num_layers,
        "patch_size": config.patch_size,
        "projection_dim": config.projection_width,
    }
    preparation = {
        "crop_size": {"height": config.image_size, "width": config.image_size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(config.mean),
        "image_processor_type": "CLIPImageProcessor",
        "image_std": list(config.std),
        "resample": BICUBIC,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": config.image_size},
    }
    return {"config.json": tower, "preprocessor_config.json": preparation}
