"""ONNX networks that look at faces: opened on the CPU with one thread, and checked against what is expected of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import WeightsError


def open_network(path: Path, name: str) -> Any:
    """An onnxruntime session.

    Raises:
        WeightsError: not an ONNX file, or a damaged one; `name` is what the message calls it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own kinds
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{name}: damaged, or not an ONNX network ({reason})") from error


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
