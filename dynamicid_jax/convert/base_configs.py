"""diffusers' config files of SD1.5's kind, read into our dataclasses.

A setting that changes what the network computes and that we do not build is refused by name;
settings without influence on inference are listed and skipped. Defaults are those of diffusers.
"""

from pathlib import Path
from typing import Any

from dynamicid_jax.convert.settings import Settings
from dynamicid_jax.models.configs import ScheduleConfig, UNetConfig, VAEConfig

CROSS = {"down": "CrossAttnDownBlock2D", "up": "CrossAttnUpBlock2D"}
PLAIN = {"down": "DownBlock2D", "up": "UpBlock2D"}

# key: the values that mean what our UNet does
UNET_FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None,),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "downsample_padding": (1,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "mid_block_only_cross_attention": (None, False),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "norm_eps": (1e-5,),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "projection_class_embeddings_input_dim": (None,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
UNET_SKIPPED = (
    # details of an embedding that addition_embed_type and class_embed_type refuse
    *("addition_embed_type_num_heads", "addition_time_embed_dim", "class_embeddings_concat"),
    # training: dropout, and the settings of the averaged weights
    *("dropout", "decay", "inv_gamma", "min_decay", "optimization_step", "power"),
    *("update_after_step", "use_ema_warmup"),
    "sample_size",  # `default_size` reads it
    "upcast_attention",  # our softmax is always float32
)
VAE_FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "latents_mean": (None,),
    "latents_std": (None,),
    "mid_block_add_attention": (True,),
    "shift_factor": (None, 0),
    "use_post_quant_conv": (True,),
    "use_quant_conv": (True,),
}
VAE_SKIPPED = ("force_upcast", "sample_size")
SCHEDULE_FIXED: dict[str, tuple[Any, ...]] = {
    "clip_sample": (False,),
    "rescale_betas_zero_snr": (False,),
    "thresholding": (False,),
    "timestep_type": ("discrete",),
    "trained_betas": (None,),
    "use_flow_sigmas": (False,),
}
# How one sampler or another steps; our own samplers decide that for themselves.
SCHEDULE_SKIPPED = (
    *("algorithm_type", "clip_sample_range", "dynamic_thresholding_ratio", "euler_at_final"),
    *("final_sigmas_type", "flow_shift", "interpolation_type", "lambda_min_clipped"),
    *("lower_order_final", "original_inference_steps", "sample_max_value", "sigma_max"),
    *("sigma_min", "skip_prk_steps", "solver_order", "solver_type", "time_shift_type"),
    *("timestep_scaling", "use_beta_sigmas", "use_dynamic_shifting", "use_exponential_sigmas"),
    *("use_karras_sigmas", "use_lu_lambdas", "variance_type"),
)
LEADING = ("PNDMScheduler", "DDIMScheduler", "LCMScheduler")  # spacing where they do not say


def _channels(settings: Settings, default: list[int]) -> list[int]:
    value = settings.get("block_out_channels", default)
    if not isinstance(value, list) or not value:
        raise settings.refuse("block_out_channels", "a list of channels, one for each level")
    return settings.sizes("block_out_channels", default, len(value))


def _crosses(settings: Settings, side: str, default: list[str], levels: int) -> list[bool]:
    """Which blocks have attentions."""
    key = f"{side}_block_types"
    kinds = settings.get(key, default)
    allowed = (CROSS[side], PLAIN[side])
    if not isinstance(kinds, list) or len(kinds) != levels or not set(kinds) <= set(allowed):
        raise settings.refuse(key, f"{levels} of {' or '.join(allowed)}")
    return [kind == CROSS[side] for kind in kinds]


def read_unet(path: Path) -> UNetConfig:
    """`unet/config.json`.

    Raises:
        WeightsError: unreadable, or a UNet that we do not build; the message names the key.
    """
    settings = Settings(path)
    channels = _channels(settings, [320, 640, 1280, 1280])
    levels = len(channels)
    down = _crosses(settings, "down", [CROSS["down"]] * 3 + [PLAIN["down"]], levels)
    up = _crosses(settings, "up", [PLAIN["up"]] + [CROSS["up"]] * 3, levels)
    if up != down[::-1]:
        raise settings.refuse("up_block_types", "attentions at the same levels as down_block_types")
    depths = settings.sizes("transformer_layers_per_block", 1, levels)
    layers = settings.sizes("layers_per_block", 2, levels)
    if len(set(layers)) != 1:
        raise settings.refuse("layers_per_block", "the same at every level")
    # diffusers' attention_head_dim is the number of heads unless num_attention_heads is given.
    heads = settings.sizes("attention_head_dim", 8, levels)
    if settings.get("num_attention_heads") is not None:
        heads = settings.sizes("num_attention_heads", None, levels)
    config = settings.build(
        UNetConfig,
        in_channels=settings.size("in_channels", 4),
        out_channels=settings.size("out_channels", 4),
        block_channels=channels,
        transformer_depth=[depth * cross for depth, cross in zip(depths, down, strict=True)],
        mid_transformer_depth=depths[-1],
        num_heads=heads,
        layers_per_block=layers[0],
        context_width=settings.size("cross_attention_dim", 1280),
        norm_groups=settings.size("norm_num_groups", 32),
        linear_projection=settings.choice("use_linear_projection", False, (False, True)),
    )
    settings.finish(UNET_FIXED, UNET_SKIPPED)
    return config


def default_size(path: Path, downscale: int) -> int:
    """The picture side that the UNet was trained at, 512 where `unet/config.json` does not say."""
    size = Settings(path).get("sample_size")
    pixels = size * downscale if isinstance(size, int) else 0
    return pixels if pixels > 0 and pixels % 64 == 0 else 512


def read_vae(path: Path) -> VAEConfig:
    """`vae/config.json`.

    Raises:
        WeightsError: as `read_unet`.
    """
    settings = Settings(path)
    channels = _channels(settings, [64])
    for side, kind in (("down", "DownEncoderBlock2D"), ("up", "UpDecoderBlock2D")):
        if settings.get(f"{side}_block_types", [kind]) != [kind] * len(channels):
            raise settings.refuse(f"{side}_block_types", f"{len(channels)} of {kind}")
    in_channels = settings.size("in_channels", 3)
    settings.choice("out_channels", 3, (in_channels,))
    config = settings.build(
        VAEConfig,
        in_channels=in_channels,
        latent_channels=settings.size("latent_channels", 4),
        block_channels=channels,
        layers_per_block=settings.size("layers_per_block", 1),
        norm_groups=settings.size("norm_num_groups", 32),
        scaling_factor=settings.get("scaling_factor", 0.18215),
    )
    settings.finish(VAE_FIXED, VAE_SKIPPED)
    return config


def read_schedule(path: Path) -> ScheduleConfig:
    """`scheduler/scheduler_config.json`, whatever its sampler.

    Raises:
        WeightsError: as `read_unet`; also where the betas are not given.
    """
    settings = Settings(path)
    kind = settings.values.get("_class_name")
    betas = {
        key: settings.get(key)
        for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
    }
    for key, value in betas.items():
        if value is None:
            raise settings.refuse(key, "it to be given: it belongs to the noise schedule")
    config = settings.build(
        ScheduleConfig,
        **betas,
        prediction_type=settings.get("prediction_type", "epsilon"),
        timestep_spacing=settings.get(
            "timestep_spacing", "leading" if kind in LEADING else "linspace"
        ),
        steps_offset=settings.get("steps_offset", 0),
        set_alpha_to_one=settings.get("set_alpha_to_one", kind != "PNDMScheduler"),
    )
    settings.finish(SCHEDULE_FIXED, SCHEDULE_SKIPPED)
    return config
