"""What an opened ONNX network takes and gives, against what is expected of it."""

from collections.abc import Sequence
from typing import Any


def fits(shape: Sequence[int | str | None], wanted: Sequence[int]) -> bool:
    """Whether a declared shape is [N or 1, *wanted], free axes allowed."""
    if len(shape) != len(wanted) + 1 or (isinstance(shape[0], int) and shape[0] != 1):
        return False
    return all(
        not isinstance(one, int) or one == want for one, want in zip(shape[1:], wanted, strict=True)
    )


def described(session: Any) -> str:
    """Inputs and outputs for messages."""
    sides = session.get_inputs(), session.get_outputs()
    return " -> ".join(", ".join(f"{one.type} {one.shape}" for one in some) for some in sides)
