"""LoRA files: every naming, dense layers and convolutions, what is refused, and that pictures say what was added."""

import copy
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.convert.lora_files import add_loras, read_lora
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.inference.random_model import nano_config, random_weights, write_random_model

CONFIG = nano_config()
RANK = 3
QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q"
OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
PROJECTION = "down_blocks.0.attentions.0.proj_in"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"
PLACES = {
    QUERY: "unet/down_blocks_0/attentions_0/transformer_blocks_0/cross_attention/to_q/kernel",
    OUT: "unet/down_blocks_0/attentions_0/transformer_blocks_0/self_attention/to_out/kernel",
    CONV: "unet/down_blocks_0/resnets_0/conv1/kernel",
    PROJECTION: "unet/down_blocks_0/attentions_0/proj_in/kernel",
    TEXT: "text_encoder/layers_0/attention/q/kernel",
}
SHAPES = {
    QUERY: ((RANK, 16), (16, RANK)),
    OUT: ((RANK, 16), (16, RANK)),
    CONV: ((RANK, 16, 3, 3), (16, RANK, 1, 1)),
    PROJECTION: ((RANK, 16, 1, 1), (16, RANK, 1, 1)),
    TEXT: ((RANK, 32), (32, RANK)),
}


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    dice = np.random.default_rng(0)
    return {
        name: tuple(dice.normal(size=shape).astype(np.float32) for shape in both)
        for name, both in SHAPES.items()
    }


def kohya(layer: str) -> tuple[str, str, str]:
    head = ("lora_te_" if layer == TEXT else "lora_unet_") + layer.replace(".", "_")
    return f"{head}.lora_down.weight", f"{head}.lora_up.weight", f"{head}.alpha"


def peft(layer: str) -> tuple[str, str, str]:
    head = ("text_encoder." if layer == TEXT else "unet.") + layer
    return f"{head}.lora_A.weight", f"{head}.lora_B.weight", f"{head}.alpha"


def diffusers(layer: str) -> tuple[str, str, str]:
    head = ("text_encoder." if layer == TEXT else "unet.") + layer
    return f"{head}.lora.down.weight", f"{head}.lora.up.weight", f"{head}.alpha"


def processors(layer: str) -> tuple[str, str, str]:
    """Attentions only, without the UNet's name."""
    block, name = layer.replace(".to_out.0", ".to_out").rsplit(".", 1)
    head = f"{block}.processor.{name}_lora"
    return f"{head}.down.weight", f"{head}.up.weight", f"{layer}.alpha"


def write(path: Path, naming, layers=tuple(PLACES), alpha: float | None = None) -> Path:
    state = {}
    for layer in layers:
        down_name, up_name, alpha_name = naming(layer)
        state[down_name], state[up_name] = pairs()[layer]
        if alpha is not None:
            state[alpha_name] = np.array(alpha, np.float32)
    save_file(state, path)
    return path


def kernel(weights: dict, path: str) -> np.ndarray:
    for part in path.split("/"):
        weights = weights[part]
    return weights


@pytest.fixture(scope="module")
def weights() -> dict:
    return random_weights(CONFIG)


@pytest.mark.parametrize("naming", [kohya, peft, diffusers])
def test_a_dense_layer_gets_its_low_rank_product(weights, tmp_path, naming) -> None:
    changed = copy.deepcopy(weights)
    file = write(tmp_path / "lora.safetensors", naming, alpha=1.5)
    add_loras(changed, CONFIG, [(file, 0.5)])
    for layer in (QUERY, OUT, PROJECTION, TEXT):
        down, up = (half.reshape(half.shape[:2]).astype(np.float64) for half in pairs()[layer])
        x = np.random.default_rng(1).normal(size=(5, down.shape[1]))
        before, after = (kernel(w, PLACES[layer]) for w in (weights, changed))
        wanted = x @ before + 0.5 * (1.5 / RANK) * (x @ down.T) @ up.T
        np.testing.assert_allclose(x @ np.asarray(after, np.float64), wanted, atol=1e-5)


def test_a_convolution_gets_two_convolutions_in_a_row(weights, tmp_path) -> None:
    changed = copy.deepcopy(weights)
    add_loras(changed, CONFIG, str(write(tmp_path / "lora.safetensors", kohya)))

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    down, up = (jnp.transpose(half, (2, 3, 1, 0)) for half in pairs()[CONV])
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 16))
    wanted = convolve(x, kernel(weights, PLACES[CONV])) + convolve(convolve(x, down), up)
    np.testing.assert_allclose(convolve(x, kernel(changed, PLACES[CONV])), wanted, atol=1e-4)


def test_older_processors_name_the_same_layers(tmp_path) -> None:
    layers = (QUERY, OUT)
    old = read_lora(write(tmp_path / "old.safetensors", processors, layers), CONFIG)
    new = read_lora(write(tmp_path / "new.safetensors", peft, layers), CONFIG)
    assert old.changes.keys() == new.changes.keys() == {PLACES[layer] for layer in layers}
    for path, change in new.changes.items():
        assert np.array_equal(old.changes[path], change)


def test_files_add_up_and_scale_zero_changes_nothing(weights, tmp_path) -> None:
    file = write(tmp_path / "lora.safetensors", peft, (QUERY,))
    twice, once, none = (copy.deepcopy(weights) for _ in range(3))
    add_loras(twice, CONFIG, [file, (file, 0.5)])
    add_loras(once, CONFIG, [(file, 1.5)])
    add_loras(none, CONFIG, [(file, 0)])
    paths = PLACES[QUERY]
    np.testing.assert_allclose(kernel(twice, paths), kernel(once, paths), atol=1e-5)
    assert np.array_equal(kernel(none, paths), kernel(weights, paths))


def test_what_does_not_fit_is_refused_by_name(tmp_path) -> None:
    down, up = pairs()[QUERY]
    cases = {
        "to_q.lora_A.weight": ({"unet.no.such.to_q.lora_A.weight": down}, "1 unexpected"),
        "half": ({f"unet.{QUERY}.lora_A.weight": down}, "1 missing .*to_q: up"),
        "shape": (
            {f"unet.{QUERY}.lora_A.weight": down[:, :8], f"unet.{QUERY}.lora_B.weight": up},
            r"1 misshaped .*expected a product of \[16, 16\]",
        ),
        "dora": ({f"unet.{QUERY}.dora_scale": up}, "1 unexpected .*dora_scale"),
        "nothing": ({}, "holds no low-rank pair"),
    }
    for name, (state, message) in cases.items():
        file = tmp_path / f"{name}.safetensors"
        save_file({key: np.ascontiguousarray(value) for key, value in state.items()}, file)
        with pytest.raises(WeightsError, match=message):
            read_lora(file, CONFIG)
    with pytest.raises(InputError, match="finite number as scale"):
        add_loras({}, CONFIG, [(file, float("nan"))])
    with pytest.raises(WeightsError, match="no such file"):
        add_loras({}, CONFIG, tmp_path / "absent.safetensors")


def test_the_pipeline_takes_them_beside_the_adapters_own_and_its_recipe_says_so(tmp_path) -> None:
    model = write_random_model(tmp_path / "nano", "nano")
    file = write(tmp_path / "few_steps.safetensors", kohya, alpha=4)
    pipes = [DynamicIDPipeline.from_pretrained(model, lora=one) for one in (None, [(file, 0.7)])]
    tokens = np.random.default_rng(2).normal(size=pipes[0].token_shape)
    options = {"steps": 4, "sampler": "lcm", "guidance_scale": 1.5}
    plain, changed = (
        pipe("the sea", [pipe.person(face_tokens=tokens)], **options) for pipe in pipes
    )
    assert np.abs(plain.latents - changed.latents).max() > 1e-2
    (record,) = changed.metadata["recipe"]["model"]["loras"]
    assert (record["name"], record["scale"]) == ("few_steps.safetensors", 0.7)
    assert plain.metadata["recipe"]["model"]["loras"] == []
    # the adapter's own low-rank product is there as well: folding both is adding both
    bare = dataclasses.replace(CONFIG, adapter=None)
    assert add_loras(random_weights(bare), bare, file)[0]["sha256"] == record["sha256"]
