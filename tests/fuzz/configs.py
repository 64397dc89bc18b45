"""Damaged model.json files beside whole weights: a model that loads, or a refusal."""

import json
from pathlib import Path

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.model_folder import MODEL_JSON
from dynamicid_jax.inference.random_model import nano_config, write_random_model

from .harness import Case, Fuzzer
from .mutate import Generator, mutate_bytes, mutate_json


def _prepare(folder: Path) -> Case:
    model = folder / "model"
    write_random_model(model, "tiny", overwrite=model.exists(), **vars(nano_config()))
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


FUZZER = Fuzzer("configs", 10_000, 60, _prepare)
