"""The held-out loss: the same records, noise and timesteps every time, so that two measurements can be paired.

difference of a record = loss(after) - loss(before)        mean and 95 % interval over records
swapped                  the same with the faces of other persons: how much the loss listens to the face tokens
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dynamicid_jax.training.sharding import batch_sharding, put_batch, replicated
from dynamicid_jax.training.state import join
from dynamicid_jax.training.step import Frozen, Program
from dynamicid_jax.types import Params

FACE_FIELDS = ("reference", "image_features", "id_embedding")


class Heldout:
    """A fixed set of batches and a compiled loss."""

    def __init__(
        self, program: Program, mesh: Mesh, batches: Sequence[Any], keys: Sequence[str]
    ) -> None:
        """Keeps the batches (host arrays of this process's rows).

        Args:
            program: of the training.
            mesh: of the training.
            batches: {field: rows}, all of one size.
            keys: names of the records, in order.
        """
        # A last batch is filled up with records that were there already: they count once.
        self._chosen = [place for place, key in enumerate(keys) if key not in keys[:place]]
        self.keys = [keys[place] for place in self._chosen]
        self._grouped = program.stage.grouped
        self._mesh, self._batches = mesh, list(batches)
        rows = partial(_rows, program)
        self._rows = jax.jit(
            rows,
            in_shardings=(None, None, batch_sharding(mesh), None),
            out_shardings=replicated(mesh),
        )
        self._seed = program.config.seed

    def losses(self, frozen: Frozen, weights: Params, *, swapped: bool = False) -> np.ndarray:
        """The loss of every record [n], in order of `keys`.

        Args:
            frozen: of the training.
            weights: trained ones and statistics, or their average.
            swapped: every record gets the face of another person.
        """
        found = []
        for number, batch in enumerate(self._batches):
            key = jax.random.key_data(jax.random.fold_in(jax.random.key(self._seed + 1), number))
            given = put_batch(_swap(batch, self._grouped) if swapped else batch, self._mesh)
            found.append(np.asarray(self._rows(frozen, weights, given, key)))
        return np.concatenate(found)[self._chosen] if found else np.zeros(0, np.float32)


def _rows(program: Program, frozen: Frozen, weights: Params, batch: Any, key: Any) -> Any:
    whole = join(weights, frozen["weights"])
    setting = program.setting(training=False)
    key = jax.random.wrap_key_data(key)
    _, aux = program.stage.loss(program.networks, whole, batch, frozen["constants"], key, setting)
    return aux.rows


def _swap(batch: Any, grouped: bool) -> Any:
    """Faces moved on by half the batch; neighbours may be the same person.

    In a grouped batch only the source's face is exchanged: its targets stay.
    """

    def moved(name: str, value: np.ndarray) -> np.ndarray:
        half = np.roll(value, len(value) // 2, axis=0)
        if not grouped:
            return half
        return np.concatenate([half[:, :1], value[:, 1:]], axis=1)

    return {
        name: moved(name, value) if name in FACE_FIELDS else value for name, value in batch.items()
    }


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences and the ends of its 95 % interval (normal approximation)."""
    mean = float(differences.mean())
    spread = (
        1.96 * float(differences.std(ddof=1)) / len(differences) ** 0.5
        if len(differences) > 1
        else 0.0
    )
    return mean, mean - spread, mean + spread
