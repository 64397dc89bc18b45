"""A model as a model folder in another dtype, and how far each network's outputs move by it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.expected import network_inputs
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.trained_on import read_trained
from dynamicid_jax.models.configs import ModelConfig

TIMESTEP = 500.0
MIB = 2**20


def export_model(
    model: str | Path,
    out: Path,
    dtype: str,
    *,
    face_pack: Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """Writes a model folder.

    Args:
        model: whatever `load_any` reads.
        out: the folder; its parent must exist.
        dtype: of model_folder.STORED.
        face_pack: copied to face_pack/, instead of the model's own.
        overwrite: replace a model folder that is there already.
        say: is told each network.

    Returns:
        {network: {"file", "bytes", "difference"}}; see `differences`.

    Raises:
        InputError, WeightsError: a model that cannot be read.
        OutputError: a folder that cannot be written.
    """
    model_folder.check_target(out, overwrite)
    before = load_any(model, dtype="float32", place=np.asarray)
    pack = before.face_pack_dir if face_pack is None else face_pack
    model_folder.save(
        out,
        before.config,
        before.weights,
        before.tokenizer_dir,
        pack,
        overwrite,
        dtype,
        read_trained(model),
    )
    after = load_any(out, dtype="float32", place=np.asarray)
    report: dict[str, dict[str, Any]] = {}
    for name, difference in differences(before.config, before.weights, after.weights).items():
        file = out / f"{name}.safetensors"
        size = file.stat().st_size
        report[name] = {"file": str(file), "bytes": size, "difference": difference}
        say(f"{file}: {size / MIB:.2f} MiB, outputs move by {difference:.2%}")
    return report


def differences(
    config: ModelConfig, before: Mapping[str, Any], after: Mapping[str, Any], seed: int = 0
) -> dict[str, float]:
    """How far the outputs of each network move between two sets of float32 weights.

    Networks get random inputs of the smallest size that touches all their weights, so that this takes seconds. A UNet
    is measured with its adapter.

    Returns:
        {network: root mean square of the change over that of the outputs}.
    """
    moved = {}
    for number, (net, inputs, parts) in enumerate(network_inputs(config)):
        dice = np.random.default_rng([seed, number])
        drawn = [_drawn(dice, leaf, config) for leaf in inputs]
        one, other = (
            _outputs(net, {collection: weights[part] for collection, part in parts.items()}, drawn)
            for weights in (before, after)
        )
        change = float(np.sqrt(np.mean((one - other) ** 2) / np.mean(one**2)))
        moved[next(iter(parts.values()))] = change
        if "adapter" in parts.values():
            moved["adapter"] = change
    return moved


def _drawn(dice: np.random.Generator, leaf: jax.ShapeDtypeStruct, config: ModelConfig) -> Any:
    """Normal numbers, token ids, or a timestep."""
    if jnp.issubdtype(leaf.dtype, jnp.integer):
        return jnp.asarray(dice.integers(config.text_encoder.vocab_size, size=leaf.shape), "int32")
    if leaf.ndim == 1:
        return jnp.full(leaf.shape, TIMESTEP, jnp.float32)
    return jnp.asarray(dice.standard_normal(leaf.shape, np.float32))


@partial(jax.jit, static_argnames="net")
def _apply(net: nn.Module, variables: dict[str, Any], inputs: list[Any]) -> Any:
    return net.apply(variables, *inputs)


def _outputs(net: nn.Module, variables: dict[str, Any], inputs: list[Any]) -> np.ndarray:
    """All output numbers of a network, in a row."""
    made = _apply(net, variables, inputs)
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(made)])
