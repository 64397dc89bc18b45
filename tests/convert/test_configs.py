"""Configs of other libraries: read in full, and refused by key where we build something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from dynamicid_jax.convert import base_configs, clip_configs
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.models.configs import ScheduleConfig, TextEncoderConfig, UNetConfig, VAEConfig

# What the SD1.5 repository's own files say.
SD15_UNET = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.6.0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
SD15_VAE = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 512,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SD15_TEXT = {
    "_name_or_path": "openai/clip-vit-large-patch14",
    "architectures": ["CLIPTextModel"],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "vocab_size": 49408,
}
SD15_SCHEDULE = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


def write(folder: Path, values: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return path


def test_sd15(tmp_path: Path) -> None:
    """The defaults of our dataclasses are SD1.5, and SD1.5's own files say so."""
    assert base_configs.read_unet(write(tmp_path, SD15_UNET)) == UNetConfig()
    assert base_configs.default_size(write(tmp_path, SD15_UNET), 8) == 512
    assert base_configs.read_vae(write(tmp_path, SD15_VAE)) == VAEConfig()
    text = clip_configs.read_text(write(tmp_path, SD15_TEXT), tmp_path)
    assert text == TextEncoderConfig()
    assert base_configs.read_schedule(write(tmp_path, SD15_SCHEDULE)) == ScheduleConfig()


def test_sd2s_unet(tmp_path: Path) -> None:
    """Heads per level, linear projections; upcast_attention is what our softmax always does."""
    sd2 = SD15_UNET | {
        "attention_head_dim": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
        "upcast_attention": True,
        "num_class_embeds": None,
        "only_cross_attention": False,
        "dual_cross_attention": False,
    }
    config = base_configs.read_unet(write(tmp_path, sd2))
    assert config.num_heads == (5, 10, 20, 20)
    assert (config.context_width, config.linear_projection) == (1024, True)


def test_depths_per_level(tmp_path: Path) -> None:
    levels = {
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [5, 10, 20],
    }
    config = base_configs.read_unet(write(tmp_path, SD15_UNET | levels))
    assert (config.transformer_depth, config.mid_transformer_depth) == ((0, 2, 10), 10)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("addition_embed_type", "text_time"),
        ("attention_head_dim", [8, 8]),
        ("attention_head_dim", "many"),
        ("attention_type", "gated"),
        ("block_out_channels", 320),
        ("class_embed_type", "timestep"),
        ("conv_in_kernel", 5),
        ("cross_attention_dim", [768, 768, 768, 768]),
        ("down_block_types", ["SimpleCrossAttnDownBlock2D"] + ["DownBlock2D"] * 3),
        ("dual_cross_attention", True),
        ("encoder_hid_dim", 1024),
        ("flip_sin_to_cos", False),
        ("layers_per_block", [1, 2, 2, 2]),
        ("mid_block_type", None),
        ("norm_eps", 1e-6),
        ("norm_num_groups", None),
        ("num_class_embeds", 1000),
        ("only_cross_attention", True),
        ("resnet_time_scale_shift", "scale_shift"),
        ("something_new", 1),
        ("time_cond_proj_dim", 256),
        ("up_block_types", ["CrossAttnUpBlock2D"] * 4),
    ],
)
def test_another_unet_is_refused_by_its_key(tmp_path: Path, key: str, value: Any) -> None:
    path = write(tmp_path, SD15_UNET | {key: value})
    with pytest.raises(WeightsError) as caught:
        base_configs.read_unet(path)
    message = str(caught.value)
    assert str(path) in message
    assert key in message or (key == "norm_num_groups" and "norm_groups" in message)
    assert key in ("cross_attention_dim",) or repr(value)[:20] in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("act_fn", "relu"),
        ("down_block_types", ["AttnDownEncoderBlock2D"] * 4),
        ("latents_mean", [0.0, 0.0, 0.0, 0.0]),
        ("mid_block_add_attention", False),
        ("out_channels", 4),
        ("shift_factor", 0.1),
        ("use_quant_conv", False),
    ],
)
def test_another_vae_is_refused_by_its_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(WeightsError, match=key):
        base_configs.read_vae(write(tmp_path, SD15_VAE | {key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("beta_schedule", "squaredcos_cap_v2"),
        ("beta_start", None),
        ("clip_sample", True),
        ("prediction_type", "sample"),
        ("rescale_betas_zero_snr", True),
        ("timestep_spacing", "other"),
        ("trained_betas", [0.1, 0.2]),
    ],
)
def test_another_schedule_is_refused_by_its_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(WeightsError, match=key):
        base_configs.read_schedule(write(tmp_path, SD15_SCHEDULE | {key: value}))


def test_schedule_of_another_sampler(tmp_path: Path) -> None:
    """What a sampler does by default depends on which it is; its own knobs say nothing about noise."""
    values = {key: SD15_SCHEDULE[key] for key in ("beta_end", "beta_start", "beta_schedule")}
    values |= {"_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 1000}
    values |= {"use_karras_sigmas": True, "interpolation_type": "linear"}
    schedule = base_configs.read_schedule(write(tmp_path, values))
    assert (schedule.timestep_spacing, schedule.steps_offset) == ("linspace", 0)
    assert schedule.set_alpha_to_one
    values |= {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    schedule = base_configs.read_schedule(write(tmp_path, values))
    assert (schedule.prediction_type, schedule.timestep_spacing) == ("v_prediction", "trailing")


def test_end_of_text_id(tmp_path: Path) -> None:
    """2 is an old mistake; the tokenizer knows, else it is the vocabulary's last."""
    path = write(tmp_path, SD15_TEXT)
    assert clip_configs.read_text(path, tmp_path).eot_token_id == 49407
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "<|endoftext|>": 5}))
    assert clip_configs.read_text(path, tmp_path).eot_token_id == 5
    path = write(tmp_path, SD15_TEXT | {"eos_token_id": 49407})
    assert clip_configs.read_text(path, tmp_path).eot_token_id == 49407


def test_other_towers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="model_type = 't5'"):
        clip_configs.read_text(write(tmp_path, SD15_TEXT | {"model_type": "t5"}), tmp_path)
    with pytest.raises(WeightsError, match="gelu_new"):
        clip_configs.read_text(write(tmp_path, SD15_TEXT | {"hidden_act": "gelu_new"}), tmp_path)
    write(tmp_path, {"model_type": "siglip_vision_model"})
    with pytest.raises(WeightsError, match="siglip"):
        clip_configs.read_image(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resample", 2),
        ("size", {"shortest_edge": 336}),
        ("size", {"height": 224, "width": 224}),
        ("do_center_crop", False),
        ("rescale_factor", 0.5),
        ("image_mean", [0.5, 0.5]),
    ],
)
def test_other_preprocessing_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    write(tmp_path, {"model_type": "clip_vision_model"})
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({key: value}))
    with pytest.raises(WeightsError, match=key.removeprefix("image_")):
        clip_configs.read_image(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00\x01", "[" * 100_000])
@pytest.mark.parametrize("file", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_damaged_configs(base: Path, file: str, text: str) -> None:
    (base / file).write_text(text)
    with pytest.raises(WeightsError, match=file):
        load_any(base)


def test_missing_configs(base: Path) -> None:
    (base / "vae/config.json").unlink()
    with pytest.raises(WeightsError, match=r"vae/config\.json: cannot be read"):
        load_any(base)


def test_sizes_that_build_no_network(base: Path) -> None:
    path = base / "unet/config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"attention_head_dim": 5}))
    with pytest.raises(WeightsError, match="no network that can be built"):
        load_any(base)
