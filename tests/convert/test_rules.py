"""Every table both ways on the tiny checkpoint, and its completeness at full size."""

import json
from pathlib import Path

import numpy as np
import pytest

from dynamicid_jax.convert import base_configs, clip_configs, rules_clip, rules_dynamicid
from dynamicid_jax.convert.container import Entry
from dynamicid_jax.convert.engine import ignored, plan, to_ours, to_torch, torch_names
from dynamicid_jax.convert.expected import flat_shapes
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.rules import Rule, Table
from dynamicid_jax.convert.rules_unet import unet_rules
from dynamicid_jax.convert.rules_vae import VAE_RULES
from dynamicid_jax.convert.tensors import open_any
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    ImageEncoderConfig,
    IMRConfig,
    KeypointEncoderConfig,
    ModelConfig,
    UNetConfig,
)

DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model.safetensors", "model.safetensors"
FULL = ModelConfig(
    image_encoder=ImageEncoderConfig(),
    adapter=AdapterConfig(),
    face_projection=FaceProjectionConfig(),
    keypoint_encoder=KeypointEncoderConfig(),
    imr=IMRConfig(),
)


def tables(config: ModelConfig) -> dict[str, Table]:
    return {
        f"unet/{DIFFUSERS}": unet_rules(config.unet),
        f"vae/{DIFFUSERS}": VAE_RULES,
        f"text_encoder/{TRANSFORMERS}": rules_clip.TEXT_RULES,
        f"image_encoder/{TRANSFORMERS}": rules_clip.IMAGE_RULES,
        "SAA.bin": rules_dynamicid.saa_rules(config.unet),
        "IMR.bin": rules_dynamicid.IMR_RULES,
        "key_point_encoder.bin": rules_dynamicid.KEYPOINT_RULES,
    }


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> ModelConfig:
    """The networks of the tiny checkpoint whose configs are files."""
    return ModelConfig(
        unet=base_configs.read_unet(tiny_checkpoint / "unet/config.json"),
        vae=base_configs.read_vae(tiny_checkpoint / "vae/config.json"),
        text_encoder=clip_configs.read_text(
            tiny_checkpoint / "text_encoder/config.json", tiny_checkpoint / "tokenizer"
        ),
        image_encoder=clip_configs.read_image(tiny_checkpoint / "image_encoder"),
        adapter=AdapterConfig(lora_rank=4),
        face_projection=FaceProjectionConfig(image_width=48, context_width=64),
        keypoint_encoder=KeypointEncoderConfig(width=64),
        imr=IMRConfig(64, 4, 16, 4, 64, 64, 64, 1, 1),
    )


@pytest.mark.parametrize("file", list(tables(ModelConfig())))
def test_there_and_back_gives_the_same_bytes(
    file: str, tiny_checkpoint: Path, tiny: ModelConfig
) -> None:
    if file.endswith(".bin"):
        pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads .bin files")
    table = tables(tiny)[file]
    state = dict(open_any(tiny_checkpoint / file).read())
    components = {line.ours.split("/")[0] for line in table if isinstance(line, Rule)}
    shapes = flat_shapes(tiny)
    expected = {path: shape for path, shape in shapes.items() if path.split("/")[0] in components}
    flat = to_ours(table, state, expected)
    assert flat.keys() == expected.keys()
    back = to_torch(table, flat, ignored(table, state))
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].shape == array.shape, name
        assert back[name].dtype == array.dtype, name
        assert back[name].tobytes() == array.tobytes(), name


def test_step_counters_are_written_as_zero_where_they_are_not_given() -> None:
    flat = {"keypoint_stats/blocks_1_2/norm/mean": np.ones(3, np.float32)}
    state = to_torch(rules_dynamicid.KEYPOINT_RULES, flat)
    counter = state["blocks.1.2.conv_block.1.num_batches_tracked"]
    assert (counter.shape, counter.dtype.name, int(counter)) == ((), "int64", 0)


def test_adapter_order_is_the_recorded_one(tiny_checkpoint: Path, tiny: ModelConfig) -> None:
    recorded = json.loads((tiny_checkpoint / "dynamicid_config.json").read_text())
    ours = [f"{name}.processor" for name, _, _ in rules_dynamicid.attention_order(tiny.unet)]
    assert ours == recorded["processor_order"]


@pytest.mark.parametrize("linear", [False, True])
def test_every_parameter_of_the_full_size_model_has_one_name_of_its_own(linear: bool) -> None:
    """What is written for SD1.5 is what is read back, with a shape for every entry."""
    config = ModelConfig(**{**vars(FULL), "unet": UNetConfig(linear_projection=linear)})
    shapes = flat_shapes(config)
    seen = 0
    for file, table in tables(config).items():
        rules = [line for line in table if isinstance(line, Rule)]
        components = {rule.ours.split("/")[0] for rule in rules}
        expected = {path: s for path, s in shapes.items() if path.split("/")[0] in components}
        entries = {}
        for path, shape in expected.items():
            ((name, transform),) = torch_names(table, path)
            entries[name] = Entry("F32", transform.torch_shape(shape))
        steps, report = plan(table, entries, expected, file)
        assert report.text() == ""
        assert len(steps) == len(expected)
        seen += len(steps)
    assert seen == len(shapes)


def test_unet_of_another_kind_is_mirrored_in_the_adapter_order() -> None:
    """SDXL's levels: none, 2 and 10 transformer blocks, two attentions down and three up."""
    config = UNetConfig(
        block_channels=(32, 64, 64), transformer_depth=(0, 2, 10), mid_transformer_depth=10
    )
    order = list(rules_dynamicid.attention_order(config))
    assert len(order) == 2 * (2 * 2 + 2 * 10 + 3 * 10 + 3 * 2 + 10)
    assert order[0][0] == "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
    assert order[2 * (4 + 20)][0] == "up_blocks.0.attentions.0.transformer_blocks.0.attn1"
    assert order[-1][1] == "mid_block/attentions_0/transformer_blocks_9/cross_attention"


def test_loaded_kernels_compute_what_torch_computes(published: Path) -> None:
    """x @ kernel equals torch's linear layer, on one projection of every kind of file."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    weights = load_any(published).weights
    saa = torch.load(published / "SAA.bin", weights_only=True)
    x = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32)
    theirs = torch.nn.functional.linear(
        torch.from_numpy(x), saa["SAA_module"]["31.to_k_ip.weight"]
    ).numpy()
    mid = weights["adapter"]["mid_block"]["attentions_0"]["transformer_blocks_0"]
    ours = x @ np.asarray(mid["cross_attention"]["face_k"]["kernel"])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
