"""Loading a diffusers folder needs at most 1.2 times its size in memory."""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamicid_jax.convert import container, rules_clip
from dynamicid_jax.convert.container import Entry
from dynamicid_jax.convert.engine import torch_names
from dynamicid_jax.convert.expected import flat_shapes
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.published import base_folder, read_base
from dynamicid_jax.convert.rules import Table
from dynamicid_jax.convert.rules_unet import unet_rules
from dynamicid_jax.convert.rules_vae import VAE_RULES

LIMIT = 1.2
UNET = {
    "block_out_channels": [320, 640, 1280, 1280],
    "norm_num_groups": 32,
    "cross_attention_dim": 768,
}
VAE = {"block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32, "layers_per_block": 2}
TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "vocab_size": 49408}


def enlarge(base: Path, changes: Mapping[str, Mapping[str, Any]]) -> int:
    """Gives the tiny folder's networks other sizes, with zeros for weights; returns the bytes."""
    for name, values in changes.items():
        settings = base / name / "config.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | dict(values)))
    files = {
        "unet": "diffusion_pytorch_model.safetensors",
        "vae": "diffusion_pytorch_model.safetensors",
        "text_encoder": "model.safetensors",
    }
    folder = base_folder(base)
    assert folder is not None
    config, _ = read_base(folder)
    shapes = flat_shapes(config)
    tables: dict[str, Table] = {
        "unet": unet_rules(config.unet),
        "vae": VAE_RULES,
        "text_encoder": rules_clip.TEXT_RULES,
    }
    for name in changes:
        entries = {}
        for path, shape in shapes.items():
            if path.startswith(f"{name}/"):
                ((theirs, transform),) = torch_names(tables[name], path)
                entries[theirs] = Entry("F32", transform.torch_shape(shape))
        data = ((theirs, np.zeros(entry.size, np.float32)) for theirs, entry in entries.items())
        container.write(base / name / files[name], entries, data)
    return sum((base / name / file).stat().st_size for name, file in files.items())


def test_arrays_of_a_medium_model(base: Path) -> None:
    """What numpy allocates at its peak, for weights of 150 MB."""
    unet = UNET | {"block_out_channels": [64, 128, 256, 256], "cross_attention_dim": 64}
    size = enlarge(base, {"unet": unet})
    assert size > 100e6
    load_any(base, place=lambda array: None)  # traces the modules, which costs memory of its own
    tracemalloc.start()
    try:
        weights = load_any(base, place=lambda array: array).weights
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert weights["unet"]["conv_in"]["kernel"].shape == (3, 3, 4, 64)
    assert size < peak < LIMIT * size


@pytest.mark.slow
def test_process_with_sd15(base: Path) -> None:
    """What the operating system counts for a whole process that loads SD1.5 (4.3 GB) into JAX."""
    size = enlarge(base, {"unet": UNET, "vae": VAE, "text_encoder": TEXT})
    assert size > 4.2e9
    code = (
        "import resource, sys\n"
        "from dynamicid_jax.convert.load import load_any\n"
        "loaded = load_any(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    command = [sys.executable, "-c", code, str(base)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert size < int(output) < LIMIT * size
