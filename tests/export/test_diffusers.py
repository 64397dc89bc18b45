"""`dynamicid export --to diffusers`: LoRA in the UNet's kernels or by itself, as PyTorch users load it."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.published_files import base_states
from dynamicid_jax.convert.tensors import open_file
from dynamicid_jax.models.unet import UNet

LORA = "lora/pytorch_lora_weights.safetensors"


def test_folding_is_base_plus_the_loras_product(model: Path, diffusers_folder: Path) -> None:
    """W + B A for every attention, in PyTorch's layout, and nothing else is touched."""
    loaded = load_any(model, place=np.asarray)
    plain = base_states(loaded.config, loaded.weights)["unet/diffusion_pytorch_model.safetensors"]
    folded = dict(open_file(diffusers_folder / "unet/diffusion_pytorch_model.safetensors").read())
    lora = dict(open_file(diffusers_folder / LORA).read())
    assert plain.keys() == folded.keys()
    touched = {name.removeprefix("unet.").rsplit(".", 2)[0] for name in lora}
    assert len(touched) == len(lora) / 2
    for name, kernel in plain.items():
        layer = name.removesuffix(".weight")
        expected = kernel
        if layer in touched:
            pair = [lora[f"unet.{layer}.lora_{half}.weight"] for half in "BA"]
            expected = kernel + pair[0] @ pair[1]
        np.testing.assert_allclose(folded[name], expected, atol=1e-6, err_msg=name)


def test_the_report_names_every_tensor_and_output(diffusers_folder: Path) -> None:
    files = json.loads((diffusers_folder / "export.json").read_text())["files"]
    assert files.keys() == {"unet", "vae", "text_encoder", "lora"}
    assert max(max(told["tensors"].values()) for told in files.values()) == 0
    assert 0 <= files["unet"]["outputs"]["0"] < 1e-5


def test_diffusers_and_peft_compute_the_same(model: Path, diffusers_folder: Path) -> None:
    for name in (
        "torch",
        "diffusers",
        "peft",
    ):  # asked for before any is imported: that takes seconds
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"compares with {name} (extra `diffusers`), which is not installed")
    import diffusers
    import torch

    loaded = load_any(model, dtype="float32", place=np.asarray)
    dice = np.random.default_rng(0)
    x = dice.standard_normal((1, 16, 16, 4)).astype(np.float32)
    text = dice.standard_normal((1, 77, 32)).astype(np.float32)
    net = UNet(loaded.config.unet, loaded.config.adapter)
    variables = {"params": loaded.weights["unet"], "adapter": loaded.weights["adapter"]}
    ours = np.asarray(jax.jit(net.apply)(variables, x, np.float32([500]), text))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        diffusers_folder, local_files_only=True
    )

    def theirs() -> np.ndarray:
        with torch.no_grad():
            made = pipe.unet(torch.from_numpy(x.transpose(0, 3, 1, 2)), 500, torch.from_numpy(text))
        return made.sample.numpy().transpose(0, 2, 3, 1)

    np.testing.assert_allclose(theirs(), ours, atol=1e-4)
    base = base_states(loaded.config, loaded.weights)["unet/diffusion_pytorch_model.safetensors"]
    pipe.unet.load_state_dict({name: torch.from_numpy(array) for name, array in base.items()})
    assert np.abs(theirs() - ours).max() > 1e-2  # the LoRA does something
    pipe.load_lora_weights(diffusers_folder / "lora")
    np.testing.assert_allclose(theirs(), ours, atol=1e-4)
