"""What every loader hands out, and where it goes on after a restart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynamicid_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class Step:
    """One batch.

    Attributes:
        batch: this host's rows (data/batch.py): arrays of the host, or of its devices where they were drawn.
        keys: records of each row; of a group all its pictures, source first, joined by spaces.
        epoch: how often the data has been gone through, at the end of this batch.
    """

    batch: dict[str, Any]
    keys: list[str]
    epoch: float


def go_on(state: Mapping[str, Any], seed: int, batch_size: int) -> int:
    """The number of batches after which a loader goes on; with another batch size, at the same example.

    Args:
        state: what a loader's `state()` gave: "position", "batch_size", "seed".
        seed: of the loader that goes on.
        batch_size: likewise.

    Raises:
        InputError: a state of another seed, or one that does not fall between two batches.
    """
    if state["seed"] != seed:
        raise InputError(
            f"seed: the checkpoint's data was drawn with seed {state['seed']}, not {seed}"
        )
    position, rest = divmod(state["position"] * state["batch_size"], batch_size)
    if rest:
        raise InputError(
            f"batch_size: {batch_size} cannot go on after {state['position']} batches of "
            f"{state['batch_size']}; take the checkpoint's batch size"
        )
    return position
