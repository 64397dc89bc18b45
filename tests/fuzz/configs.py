"""Damaged model.json files beside whole weights: a model that loads, or a refusal."""

import json
from dataclasses import replace
from pathlib import Path

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.model_folder import MODEL_JSON
from dynamicid_jax.inference.random_model import nano_config, write_random_model
from dynamicid_jax.models.configs import ModelConfig

from .harness import Case, Fuzzer
from .mutate import Generator, mutate_bytes, mutate_json


def micro_config() -> ModelConfig:
    """Less than nano: a case has to trace every network that its damage touches."""
    nano = nano_config()
    one = {"block_channels": (16, 16), "transformer_depth": (1, 0), "num_heads": (2, 2)}
    return replace(
        nano,
        unet=replace(nano.unet, layers_per_block=1, mid_transformer_depth=0, **one),
        text_encoder=replace(nano.text_encoder, num_layers=1),
        image_encoder=replace(nano.image_encoder, num_layers=1),
    )


def _prepare(folder: Path) -> Case:
    model = folder / "model"
    write_random_model(model, "tiny", overwrite=model.exists(), **vars(micro_config()))
    file = model / MODEL_JSON
    whole = file.read_bytes()
    values = json.loads(whole)

    def case(rng: Generator) -> None:
        if rng.random() < 0.2:
            data = mutate_bytes(rng, whole)
        else:
            changed = values
            for _ in range(int(rng.integers(1, 4))):
                changed = mutate_json(rng, changed)
            data = json.dumps(changed).encode()
        file.write_bytes(data)
        load_any(model, place=lambda array: array)

    return case


FUZZER = Fuzzer("configs", 10_000, 20, _prepare)
