"""The held-out loss: the same records, noise and timesteps every time, so that two measurements can be paired.

    difference of a record   loss(after) - loss(before)           mean and 95 % interval over records
    rise with a variant      loss(variant) - loss(as it is)       how much the loss listens to what the variant changes
    face_loss                the loss inside face boxes alone, where batches have them

A variant is a name and a function of a batch: faces of other persons ("swapped_rise"), and what the loader has
(`variants`; the world's are captions with one attribute wrong, data/wrong_captions.py, and faces with one look wrong,
data/wrong_faces.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from dynamicid_jax.data.batch import FACE, Variant
from dynamicid_jax.training import examples
from dynamicid_jax.training.sharding import batch_sharding, put_batch, replicated
from dynamicid_jax.training.state import join
from dynamicid_jax.training.step import Frozen, Program
from dynamicid_jax.types import Params

FACES = (*FACE, "image_features")
BOXES = ("face_box", "face_boxes")
FACES_ALONE = (
    1e4  # loss.face_weight with which nothing else counts; records without a face count as a whole
)


class Heldout:
    """A fixed set of batches and a compiled loss.

    Attributes:
        keys: names of the records, in order.
        variants: {name of the rise: what makes a batch of another one}.
    """

    def __init__(
        self,
        program: Program,
        mesh: Mesh,
        batches: Sequence[Any],
        keys: Sequence[str],
        variants: Mapping[str, Variant] | None = None,
    ) -> None:
        """Keeps the batches (host arrays of this process's rows).

        Args:
            program: of the training.
            mesh: of the training.
            batches: {field: rows}, all of one size.
            keys: names of the records, in order.
            variants: of the loader.
        """
        # A last batch is filled up with records that were there already: they count once.
        self._chosen = [place for place, key in enumerate(keys) if key not in keys[:place]]
        self.keys = [keys[place] for place in self._chosen]
        self.variants = dict(variants or {})
        if "id_embedding" in program.stage.fields:
            self.variants["swapped_rise"] = partial(_swap, program.stage.grouped)
        self._mesh, self._batches = mesh, list(batches)
        rows = partial(_rows, program)
        rows_at = batch_sharding(mesh)
        self._rows = jax.jit(
            rows, in_shardings=(None, None, rows_at, None), out_shardings=replicated(mesh)
        )
        encode = partial(examples.moments, program.networks)
        self._encode = jax.jit(encode, in_shardings=(None, rows_at), out_shardings=rows_at)
        self._encodes = "vae" in program.stage.needs
        self._latents: list[dict[str, Array]] = []
        self._seed = program.config.seed

    def losses(
        self, frozen: Frozen, weights: Params, variant: Variant | None = None
    ) -> dict[str, np.ndarray]:
        """The losses of every record [n], in order of `keys`: "loss", and "face_loss" where there are boxes.

        Args:
            frozen: of the training.
            weights: trained ones and statistics, or their average.
            variant: what is measured instead of the batches as they are; noise and timesteps stay.
        """
        found = []
        self._latents = self._latents or [self._encoded(frozen, one) for one in self._batches]
        for number, (batch, latents) in enumerate(zip(self._batches, self._latents, strict=True)):
            key = jax.random.key_data(jax.random.fold_in(jax.random.key(self._seed + 1), number))
            given = dict(variant(batch) if variant else batch)
            if latents:
                del given["pixels"]
            given = put_batch(given, self._mesh) | latents
            found.append(jax.tree.map(np.asarray, self._rows(frozen, weights, given, key)))
        return {
            name: np.concatenate([one[name] for one in found])[self._chosen] for name in found[0]
        }

    def _encoded(self, frozen: Frozen, batch: Any) -> dict[str, Array]:
        """A batch's "moments" by a frozen autoencoder; kept, since no variant and no update changes them."""
        if not self._encodes or "pixels" not in batch:
            return {}
        pixels = put_batch({"pixels": batch["pixels"]}, self._mesh)["pixels"]
        return {"moments": self._encode(frozen["weights"], pixels)}


def _rows(
    program: Program, frozen: Frozen, weights: Params, batch: Any, key: Any
) -> dict[str, Float[Array, " b"]]:
    """Losses per record. Both take one pass: they part after the prediction, and XLA computes once what they share."""
    whole = join(weights, frozen["weights"])
    setting, key = program.setting(training=False), jax.random.wrap_key_data(key)
    settings = {"loss": setting}
    if any(name in batch for name in BOXES):
        loss = replace(setting.loss, face_weight=FACES_ALONE)
        settings["face_loss"] = replace(setting, loss=loss)
    constants, rows = frozen["constants"], {}
    for name, one in settings.items():
        _, aux = program.stage.loss(program.networks, whole, batch, constants, key, one)
        rows[name] = aux.rows
    return rows


def _swap(grouped: bool, batch: Any) -> Any:
    """Faces moved on by half the batch; neighbours may be the same person.

    In a grouped batch only the source's face is exchanged: its targets stay.
    """

    def moved(name: str, value: Any) -> np.ndarray:
        half = np.roll(value, len(value) // 2, axis=0)
        if not grouped:
            return half
        return np.concatenate([half[:, :1], value[:, 1:]], axis=1)

    return {name: moved(name, value) if name in FACES else value for name, value in batch.items()}


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences and the ends of its 95 % interval (normal approximation)."""
    mean = float(differences.mean())
    spread = (
        1.96 * float(differences.std(ddof=1)) / len(differences) ** 0.5
        if len(differences) > 1
        else 0.0
    )
    return mean, mean - spread, mean + spread
