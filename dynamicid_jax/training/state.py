"""What changes while training: the state, and how weights part into what trains and what is frozen."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dynamicid_jax.training.stage import Stage
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

STATS = "keypoint_stats"


@struct.dataclass
class TrainState:
    """Everything that a step changes; one checkpoint holds it.

    Leaves are arrays; the same structure also holds their shapes, or their shardings.

    Attributes:
        step: batches taken so far, skipped ones included; int32 [].
        trained: {component: weights}, float32.
        opt_state: the optimizer's.
        stats: {"keypoint_stats": running statistics} where the keypoint encoder trains, else empty.
        ema: an average of `trained` and `stats`, or None.
        key: root of all randomness as raw bits; a step folds its number in.
        skipped: updates left out for NaN or Inf so far; int32 [].
        bad: of these, how many in a row up to now; int32 [].
    """

    step: Any
    trained: Any
    opt_state: Any
    stats: Any
    ema: Any
    key: Any
    skipped: Any
    bad: Any

    @classmethod
    def create(
        cls, trained: Params, stats: Params, optimizer: Any, seed: int, averaged: bool
    ) -> "TrainState":
        """The state before the first step."""
        return cls(
            step=jnp.int32(0),
            trained=trained,
            opt_state=optimizer.init(trained),
            stats=stats,
            ema=jax.tree.map(jnp.copy, {**trained, **stats}) if averaged else None,
            key=jax.random.key_data(jax.random.key(seed)),
            skipped=jnp.int32(0),
            bad=jnp.int32(0),
        )

    @property
    def best(self) -> Params:
        """The weights to use: the average where one is kept."""
        return self.ema if self.ema is not None else {**self.trained, **self.stats}


def split(weights: Params, stage: Stage) -> tuple[Params, Params, Params]:
    """Weights as (trained, statistics, frozen), as a stage has it.

    Biases of convolutions that a batch normalisation follows stay frozen: the norm takes them out again, so that their
    gradient is rounding noise, which Adam would blow up.
    """
    flat = flatten(weights)
    trained = {path for path in flat if stage.moves(path) and not _before_norm(path)}
    stats = {
        path for path in flat if path.startswith(STATS + "/") and "keypoint_encoder" in stage.trains
    }
    parts = (trained, stats, flat.keys() - trained - stats)
    one, two, three = (nest({path: flat[path] for path in sorted(part)}) for part in parts)
    return one, two, three


def _before_norm(path: str) -> bool:
    return path.startswith("keypoint_encoder/") and path.endswith("conv/bias")


def join(*parts: Params) -> Params:
    """Trees without common leaves as one; the inverse of `split`."""
    return nest({path: leaf for part in parts for path, leaf in flatten(part).items()})
