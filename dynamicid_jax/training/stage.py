"""What a stage is; the stages themselves are in stages.py and face_stages.py."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from flax import struct
from jaxtyping import Array, Float

from dynamicid_jax.config import LossConfig
from dynamicid_jax.training.examples import Batch, Constants
from dynamicid_jax.types import Params


@struct.dataclass
class Aux:
    """What a loss tells beside its value.

    Attributes:
        rows: the loss per example, for held-out measurements.
        metrics: scalars; "<name>_sum/<bucket>" and "<name>_count/<bucket>" are divided when they are logged.
        stats: the keypoint encoder's running statistics after this batch; empty where it does not train.
    """

    rows: Float[Array, " b"]
    metrics: dict[str, Array]
    stats: Params = struct.field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What a loss needs to know besides networks and weights.

    Attributes:
        loss: weights and rates.
        parts: parts in which a loss runs its large passes, where it cuts them itself.
        training: False measures: no dropping, running statistics, every example as it is.
    """

    loss: LossConfig
    parts: int = 1
    training: bool = True


LossFunction = Callable[
    [Any, Params, Batch, Constants, Array, Setting], tuple[Float[Array, ""], Aux]
]


@dataclass(frozen=True)
class Stage:
    """What one training is.

    Attributes:
        name: as in a recipe.
        trains: components whose weights change.
        needs: further components that its loss reads.
        fields: what a batch holds (data/batch.py).
        grouped: an example is one person with several pictures.
        cuts_itself: the loss itself works in `parts` (its batch must stay whole); otherwise the step cuts the batch.
        loss: the loss of a batch.
        subject: what kind of model it trains (training/subjects.py).
        freezes: parts of the names of weights in `trains` that stay as they are (a recipe's `freeze`).
    """

    name: str
    trains: tuple[str, ...]
    needs: tuple[str, ...]
    fields: tuple[str, ...]
    loss: LossFunction
    grouped: bool = False
    cuts_itself: bool = False
    subject: Literal["diffusion", "faces"] = "diffusion"
    freezes: tuple[str, ...] = ()

    def moves(self, path: str) -> bool:
        """Whether a weight ("component/module/.../name") trains."""
        return path.split("/")[0] in self.trains and not any(one in path for one in self.freezes)

    def without(self, *spared: str) -> "Stage":
        """The same stage where a recipe has no use for some of its components and fields."""
        needs = tuple(part for part in self.needs if part not in spared)
        fields = tuple(field for field in self.fields if field not in spared)
        return replace(self, needs=needs, fields=fields)
