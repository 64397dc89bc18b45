"""Weights of recorded cases and of the tiny checkpoint as variables of our networks.

>>> state = stored("vae/diffusion_pytorch_model.safetensors")  # or case["sd"]
>>> weights = variables(network, VAE_RULES, state, picture)  # {"params": ...}
>>> mean, logvar = run(network, weights, picture, method="encode")
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import golden_io as golden
import jax
import numpy as np
from flax import linen as nn

from dynamicid_jax.convert import tensors
from dynamicid_jax.convert.engine import to_ours
from dynamicid_jax.convert.rules import Table
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

# The first part of a collection's paths in the rules, where it is not the component's own name.
COLLECTIONS = {"batch_stats": "keypoint_stats"}


def variables(
    network: nn.Module, table: Table, state: Mapping[str, np.ndarray], *inputs: Any
) -> Params:
    """A published state dict as the network's variables; everything must fit.

    `table` belongs to one component; `inputs` touch all parameters of the network.
    """
    component = next(line.ours for line in table if hasattr(line, "ours")).split("/")[0]
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    parts = {name: COLLECTIONS.get(name, component) for name in shapes}
    expected = {
        f"{part}/{path}": leaf.shape
        for name, part in parts.items()
        for path, leaf in flatten(shapes[name]).items()
    }
    trees = nest(to_ours(table, state, expected))
    return {name: trees[part] for name, part in parts.items()}


def stored(path: str, prefix: str = "") -> dict[str, np.ndarray]:
    """Tensors of a file of the tiny checkpoint: names that start with `prefix`, without it."""
    read = tensors.open_any(golden.checkpoint / path).read()
    return {name.removeprefix(prefix): array for name, array in read if name.startswith(prefix)}


def run(network: nn.Module, weights: Params, *inputs: Any, **options: Any) -> Any:
    """`network.apply`, compiled as in use; inputs may be numpy arrays, `options` are static."""
    return _compiled(network, tuple(options.items()))(weights, *inputs)


def drawn(network: nn.Module, *inputs: Any) -> Params:
    """Random weights."""
    return jax.jit(network.init)(jax.random.key(0), *inputs)


@cache
def _compiled(network: nn.Module, options: tuple[tuple[str, Any], ...]) -> Any:
    return jax.jit(partial(network.apply, **dict(options)))
