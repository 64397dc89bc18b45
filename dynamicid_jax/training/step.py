"""One update: forward, loss, gradient, update. Everything a step does is `train_step`; the rest is mechanics.

trained, stats, frozen = split(weights)
loss, gradient = d loss(join(trained, stats, frozen), batch) / d trained
trained <- trained - rate * optimizer(gradient)        left out, and counted, where loss or gradient is not finite
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Int

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.diffusion.losses import interleave
from dynamicid_jax.training.examples import Batch
from dynamicid_jax.training.optimizer import learning_rate, make_optimizer
from dynamicid_jax.training.sharding import batch_sharding, replicated, tree_shardings
from dynamicid_jax.training.stage import Aux, Setting, Stage
from dynamicid_jax.training.state import TrainState, join
from dynamicid_jax.types import Params

Frozen = dict[str, Any]
"""{"weights": the frozen components, "constants": see training/examples.py, and "updates": where a cosine ends}"""
Metrics = dict[str, Array]


@dataclass(frozen=True)
class Program:
    """What a step is made of; static.

    Attributes:
        config: the run.
        stage: what trains and on which loss.
        networks: the model without its weights: what the stage's loss calls.
    """

    config: TrainConfig
    stage: Stage
    networks: Any

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The recipe's optimizer."""
        return make_optimizer(self.config.optimizer)

    def fresh_state(self, trained: Params, stats: Params) -> TrainState:
        """The state before the first step."""
        averaged = self.config.optimizer.ema_decay > 0
        return TrainState.create(trained, stats, self.optimizer, self.config.seed, averaged)

    def setting(self, training: bool = True) -> Setting:
        """What the loss is told."""
        cut = self.stage.cuts_itself and training
        parts = self.config.optimizer.accumulation if cut else 1
        return Setting(self.config.loss, parts, training)


def train_step(
    program: Program, frozen: Frozen, state: TrainState, batch: Batch
) -> tuple[TrainState, Metrics]:
    """One update on a global batch: the new state, and scalars about it."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    gradient_of = jax.value_and_grad(partial(_loss, program, frozen), has_aux=True)
    parts = 1 if program.stage.cuts_itself else program.config.optimizer.accumulation
    (loss, aux), gradient = _in_parts(gradient_of, parts, state.trained, state.stats, batch, key)
    norm = optax.global_norm(gradient)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    updates, opt_state = program.optimizer.update(gradient, state.opt_state, state.trained)
    rate = learning_rate(
        program.config.optimizer, state.step - state.skipped, frozen["constants"]["updates"]
    )
    trained = jax.tree.map(lambda x, way: x - rate * way, state.trained, updates)
    changed = replace(
        state,
        trained=trained,
        opt_state=opt_state,
        stats=aux.stats,
        ema=_averaged(
            state.ema,
            {**trained, **aux.stats},
            program.config.optimizer.ema_decay,
            state.step - state.skipped,
        ),
    )
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), changed, state)
    new = replace(
        kept,
        step=state.step + 1,
        skipped=state.skipped + ~finite,
        bad=jnp.where(finite, 0, state.bad + 1),
    )
    metrics = {
        **aux.metrics,
        "loss": loss,
        "grad_norm": norm,
        "param_norm": optax.global_norm(new.trained),
        "learning_rate": rate,
        "skipped": new.skipped,
        "bad": new.bad,
    }
    return new, metrics


def _loss(
    program: Program, frozen: Frozen, trained: Params, stats: Params, batch: Batch, key: Array
) -> tuple[Float[Array, ""], Aux]:
    weights = join(trained, stats, frozen["weights"])
    loss, aux = program.stage.loss(
        program.networks, weights, batch, frozen["constants"], key, program.setting()
    )
    moved = {"keypoint_stats": aux.stats} if aux.stats else stats
    return loss, replace(aux, stats=moved)


def _in_parts(
    gradient_of: Callable[..., Any],
    parts: int,
    trained: Params,
    stats: Params,
    batch: Batch,
    key: Array,
) -> Any:
    """Value and gradient of the batch, as the mean over `parts` parts of it taken one after the other."""
    if parts == 1:
        return gradient_of(trained, stats, batch, key)

    def one(total: Any, inputs: Any) -> Any:
        part, number = inputs
        return jax.tree.map(
            jnp.add, total, gradient_of(trained, stats, part, jax.random.fold_in(key, number))
        ), None

    cut = jax.tree.map(lambda x: interleave(x, parts), batch)
    shapes = jax.eval_shape(gradient_of, trained, stats, jax.tree.map(lambda x: x[0], cut), key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(one, zeros, (cut, jnp.arange(parts)))
    (loss, aux), gradient = jax.tree.map(lambda x: x / parts, total)
    return (loss, replace(aux, metrics=_counts_again(aux.metrics, parts))), gradient


def _counts_again(metrics: Metrics, parts: int) -> Metrics:
    """Sums and counts are sums over the parts, not means."""
    return {
        name: value * parts if "_sum/" in name or "_count/" in name else value
        for name, value in metrics.items()
    }


def _averaged(
    ema: Params | None, new: Params, decay: float, updates: Int[Array, ""]
) -> Params | None:
    """The average after one more update, of which `updates` came before.

    It starts short and grows to `decay`: with `decay` from the first update on, the untrained weights would still be
    a third of the average after a thousand updates at 0.999.
    """
    if ema is None:
        return None
    kept = jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    return jax.tree.map(lambda old, value: kept * old + (1 - kept) * value, ema, new)


# -- mechanics: jit, sharding, donation ---------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """A step together with where its arguments lie.

    Attributes:
        step: (frozen, state, batch) -> (state, metrics), compiled; the state's memory is taken over.
        state: shardings of the state.
        frozen: shardings of the frozen weights and constants.
        batch: the sharding of every array of a batch.
    """

    step: Callable[[Frozen, TrainState, Batch], tuple[TrainState, Metrics]]
    state: Any
    frozen: Any
    batch: NamedSharding


def place_step(program: Program, mesh: Mesh, frozen: Any, state: Any) -> Placed:
    """The compiled step for a mesh; `frozen` and `state` may be arrays or shapes."""
    state_at = tree_shardings(state, mesh)
    frozen_at = {
        "weights": tree_shardings(frozen["weights"], mesh),
        "constants": jax.tree.map(lambda _: replicated(mesh), frozen["constants"]),
    }
    step = jax.jit(
        partial(train_step, program),
        in_shardings=(frozen_at, state_at, batch_sharding(mesh)),
        out_shardings=(state_at, replicated(mesh)),
        donate_argnums=1,
    )
    return Placed(step, state_at, frozen_at, batch_sharding(mesh))
