"""Runs what `dynamicid export --to stablehlo` wrote; needs JAX alone. A copy lies in every such folder as load.py.

sampler = load("FOLDER", "sampler")
out = sampler(ids=..., negative_ids=..., seed=..., faces=..., boxes=..., ...)     # FOLDER/programs.json
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np


def load(folder: str, name: str) -> Any:
    """One program with its weights, as a function of its inputs by name; compiled at its first call."""
    about = json.loads(Path(folder, "programs.json").read_text())[name]
    exported = jax.export.deserialize(bytearray(Path(folder, about["file"]).read_bytes()))
    data = np.memmap(Path(folder, "weights.safetensors"), np.uint8, "r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    kinds = {"F32": np.float32, "BF16": jnp.bfloat16}

    def array(key: str) -> Any:
        (low, high), entry = header[key]["data_offsets"], header[key]
        return data[start + low : start + high].view(kinds[entry["dtype"]]).reshape(entry["shape"])

    weights = jax.device_put({key: array(key) for key in about["weights"]})
    call = jax.jit(exported.call)
    return lambda **inputs: call(weights, inputs)
