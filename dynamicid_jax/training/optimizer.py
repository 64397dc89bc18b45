"""AdamW or Muon behind a gradient clip, with a warm-up and a constant or cosine rate.

The rate is a factor outside the chain: `updates`, where a cosine ends, is an argument of the compiled step, so that a
run with a time budget can learn on the way how many updates will fit (training/time_budget.py).
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from dynamicid_jax.config import OptimizerConfig
from dynamicid_jax.types import Number, Params

ADAM_RMS = 0.2  # of a matrix's update under Adam at rate 1 (arXiv 2502.16982, section 2.2)


def learning_rate(
    config: OptimizerConfig, update: Int[Array, ""], updates: Int[Array, ""] | Number
) -> Float[Array, ""]:
    """The rate of an update, counted from 0; a cosine reaches 0 at `updates`.

    Warm-up update n has (n + 1) / warmup of the rate: the first update moves already.
    """
    warmup = max(config.warmup, 1)
    n = jnp.asarray(update, jnp.float32)
    share = jnp.minimum((n + 1) / warmup, 1.0)
    if config.schedule == "cosine":
        way = (n - warmup) / jnp.maximum(jnp.asarray(updates, jnp.float32) - warmup, 1.0)
        share = share * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(way, 0.0, 1.0)))
    return config.learning_rate * share


def _adam(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(config.b1, config.b2, config.eps)


def _muon(config: OptimizerConfig) -> optax.GradientTransformation:
    """Adam for biases and convolutions; a matrix moves alike in all its directions, by as much as Adam moves it."""
    return optax.contrib.muon(
        -1.0,  # the rate and its sign are the caller's
        beta=config.b1,
        eps=config.eps,
        adam_b1=config.b1,
        adam_b2=config.b2,
        consistent_rms=ADAM_RMS,
    )


RULES = {"adamw": _adam, "muon": _muon}


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """The whole chain up to the rate; weight decay is decoupled and spares biases, norms and single vectors."""

    def decays(trained: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, trained)

    parts = [RULES[config.rule](config), optax.add_decayed_weights(config.weight_decay, decays)]
    if config.clip_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(config.clip_norm))
    return optax.chain(*parts)
