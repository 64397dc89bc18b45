"""AdamW behind a gradient clip, with a warm-up and a constant or cosine rate."""

import jax
import optax

from dynamicid_jax.config import OptimizerConfig
from dynamicid_jax.types import Params


def schedule(config: OptimizerConfig, updates: int) -> optax.Schedule:
    """The learning rate by update, from 0.

    Warm-up update n has (n + 1) / warmup of the rate: the first update moves already.
    """
    rate, warmup = config.learning_rate, max(config.warmup, 1)
    after = optax.constant_schedule(rate)
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(rate, max(updates - warmup, 1))
    rising = optax.linear_schedule(rate / warmup, rate, max(warmup - 1, 1))
    return optax.join_schedules([rising, after], [warmup])


def make_optimizer(config: OptimizerConfig, updates: int) -> optax.GradientTransformation:
    """The whole chain; weight decay is decoupled and spares biases, norms and single vectors."""

    def decays(trained: Params) -> Params:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, trained)

    adamw = optax.adamw(
        schedule(config, updates),
        b1=config.b1,
        b2=config.b2,
        eps=config.eps,
        weight_decay=config.weight_decay,
        mask=decays,
    )
    if config.clip_norm is None:
        return adamw
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)
