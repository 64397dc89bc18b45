"""The compiled training step of either stage on precomputed features, timed on made-up batches."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.inference.random_model import CONFIGS
from dynamicid_jax.planning.arithmetic import loss_work
from dynamicid_jax.planning.program import abstract_step
from dynamicid_jax.training.sharding import make_mesh


def recipe(
    stage: str,
    size: str,
    batch: int,
    dtype: str,
    targets: int = 32,
    parts: int = 1,
    remat: str = "none",
) -> TrainConfig:
    """The recipe of one measured step, at the model's own picture size."""
    config = TrainConfig(stage=stage, batch_size=batch, dtype=dtype, remat=remat)
    return replace(
        config,
        data=replace(config.data, image_size=CONFIGS[size]().sampling.height),
        loss=replace(config.loss, targets=targets),
        optimizer=replace(config.optimizer, accumulation=parts),
    )


def training_step(config: TrainConfig, size: str) -> Callable[[], float]:
    """Pictures (targets, in reconfiguration) per second of one device."""
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    step = abstract_step(config, CONFIGS[size](), mesh)
    frozen, state, batch = jax.tree.map(_filled, step.arguments)
    # No negative second moments, and a key that is one.
    moments = jax.tree.map(jnp.zeros_like, state.opt_state)
    state = replace(state, opt_state=moments, key=jax.random.key_data(jax.random.key(0)))
    pictures = pictures_of(config)
    compiled = step.lower().compile()
    held = [state]

    def run() -> float:
        begin = time.perf_counter()
        held[0], metrics = compiled(frozen, held[0], batch)
        jax.block_until_ready((held[0], metrics))
        return pictures / (time.perf_counter() - begin)

    return run


def training_tflop(config: TrainConfig, size: str) -> float:
    """Of one step, by the formula in planning/arithmetic.py."""
    model = CONFIGS[size]()
    return config.batch_size * loss_work(config, model).total / 1e12


def pictures_of(config: TrainConfig) -> int:
    """Pictures, or targets, of one step."""
    return config.batch_size * (config.loss.targets if config.stage == "reconfiguration" else 1)


def _filled(shape: Any) -> Any:
    """Small numbers in the place of a shape; whole numbers are 0 (person 0, the first token)."""
    if not jnp.issubdtype(shape.dtype, jnp.floating):
        return jax.device_put(np.zeros(shape.shape, shape.dtype), shape.sharding)
    values = np.random.default_rng(0).standard_normal(shape.shape, np.float32) * 0.02
    return jax.device_put(values.astype(shape.dtype), shape.sharding)
