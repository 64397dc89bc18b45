"""How far one set of weights, or of outputs, is from another."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert.expected import network_inputs
from dynamicid_jax.errors import ExportError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.types import Params

TIMESTEP = 500.0
WITH_FACES = 4  # inputs of a UNet: latents, timestep, text, faces


@dataclass(frozen=True)
class Moved:
    """How far a network's outputs move.

    Attributes:
        relative: root mean square of the change over that of the outputs.
        outputs: largest absolute difference of each output, by its place.
    """

    relative: float
    outputs: dict[str, float]


def tensor_differences(
    before: Mapping[str, Any], after: Mapping[str, Any], where: str = "export"
) -> dict[str, float]:
    """Largest absolute difference of each tensor; 0 means the same values.

    Raises:
        ExportError: a tensor is missing, one too many, or of another shape.
    """
    if names := before.keys() ^ after.keys():
        raise ExportError(
            f"{where}: {sorted(names)[0]} is on one side only; the export is not whole"
        )
    return {name: largest(before[name], after[name], f"{where}: {name}") for name in before}


def largest(one: Any, other: Any, where: str) -> float:
    """Largest absolute difference of two arrays, infinities that are equal left out; NaN where one side has NaN.

    Raises:
        ExportError: they have different shapes.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape:
        raise ExportError(f"{where}: expected shape {one.shape}, got {other.shape}")
    same = one == other  # infinities too, whose difference is NaN
    return float(np.max(np.abs(np.where(same, 0, one) - np.where(same, 0, other)), initial=0))


def check(found: Mapping[str, float], tolerance: float, where: str) -> None:
    """Compares differences with the most that is allowed.

    Raises:
        ExportError: one of them is larger, or NaN.
    """
    for name, difference in found.items():
        if not difference <= tolerance:
            raise ExportError(
                f"{where}: {name} differs from its source by {difference:.1e}, more than {tolerance:.0e}; "
                "nothing was written"
            )


def output_changes(
    before: tuple[ModelConfig, Mapping[str, Any]],
    after: tuple[ModelConfig, Mapping[str, Any]],
    seed: int = 0,
) -> dict[str, Moved]:
    """How far the outputs of each network move between two models, given as (config, float32 weights).

    Networks get random inputs of the smallest size that touches all weights that both have, so that this takes seconds.
    A UNet is measured with its adapter, without people where one of the two has none.

    Returns:
        {network: how far}, those that both models have.
    """
    found = {}
    others = {type(net): (net, inputs, parts) for net, inputs, parts in network_inputs(after[0])}
    for number, (net, inputs, parts) in enumerate(network_inputs(before[0])):
        if type(net) not in others:
            continue
        other, fewer, other_parts = others[type(net)]
        dice = np.random.default_rng([seed, number])
        drawn = [_drawn(dice, leaf, before[0]) for leaf in inputs[: min(len(inputs), len(fewer))]]
        if len(drawn) == WITH_FACES and isinstance(net, UNet):
            # With a layout, so that faces count; without the gate, whose threshold makes steps of roundings.
            drawn.append(FaceLayout.free(1, gated=False))
        sides = ((net, before[1], parts), (other, after[1], other_parts))
        one, two = (_outputs(module, weights, names, drawn) for module, weights, names in sides)
        moved = _moved(one, two)
        found[next(iter(parts.values()))] = moved
        if "adapter" in parts.values():
            found["adapter"] = moved
    return found


def _moved(one: list[np.ndarray], two: list[np.ndarray]) -> Moved:
    outputs = {
        str(place): largest(*pair, f"output {place}")
        for place, pair in enumerate(zip(one, two, strict=True))
    }
    flat, other = (np.concatenate([leaf.ravel() for leaf in side]) for side in (one, two))
    relative = float(np.sqrt(np.mean((flat - other) ** 2) / np.mean(flat**2)))
    return Moved(relative, outputs)


def _drawn(dice: np.random.Generator, leaf: jax.ShapeDtypeStruct, config: ModelConfig) -> Any:
    """Normal numbers, token ids, or a timestep."""
    if jnp.issubdtype(leaf.dtype, jnp.integer):
        return jnp.asarray(dice.integers(config.text_encoder.vocab_size, size=leaf.shape), "int32")
    if leaf.ndim == 1:
        return jnp.full(leaf.shape, TIMESTEP, jnp.float32)
    return jnp.asarray(dice.standard_normal(leaf.shape, np.float32))


@partial(jax.jit, static_argnames="net")
def _apply(net: nn.Module, variables: Params, inputs: list[Any]) -> Any:
    return net.apply(variables, *inputs)


def _outputs(
    net: nn.Module, weights: Mapping[str, Any], parts: Mapping[str, str], inputs: list[Any]
) -> list[np.ndarray]:
    """A network's outputs, float64."""
    variables = {collection: weights[part] for collection, part in parts.items()}
    made = _apply(net, variables, inputs)
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(made)]
