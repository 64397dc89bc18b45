"""Files, rule tables and a config, brought together: checks all of it, then reads the tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert.engine import Report, Step, plan
from dynamicid_jax.convert.expected import flat_shapes
from dynamicid_jax.convert.int8 import Dequantised
from dynamicid_jax.convert.rules import Table
from dynamicid_jax.convert.tensors import Tensors
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.trees import nest
from dynamicid_jax.types import Params

ADVICE = "the files must be whole and of the model that the configs describe"
STATISTICS = (
    "keypoint_stats"  # running statistics: never rounded, a variance in bfloat16 is 0.4 % off
)
ALIGNMENT = 64
COLUMNS = 32
DTYPES = ("float32", "bfloat16", "float16")

Place = Callable[[np.ndarray], Any]
Progress = Callable[[str, int, int], None]
"""Receives the file being read, the bytes read so far and the bytes in all."""


@dataclass(frozen=True)
class Part:
    """One network's tensors, how they map to ours, and the components that they must fill."""

    tensors: Tensors | Dequantised
    table: Table
    components: tuple[str, ...]


def parse_dtype(dtype: Any) -> np.dtype | None:
    """A stored weight's dtype; None: as stored.

    Raises:
        InputError: not one of float32, bfloat16, float16.
    """
    if dtype is None:
        return None
    try:
        parsed = jnp.dtype(dtype)
    except TypeError:
        parsed = None
    if parsed is None or parsed.name not in DTYPES:
        raise InputError(f"dtype: {dtype!r} is not supported; expected {', '.join(DTYPES)}")
    return parsed


def load_parts(
    config: ModelConfig,
    parts: Sequence[Part],
    dtype: Any = None,
    place: Place = jax.device_put,
    progress: Progress | None = None,
) -> Params:
    """Checks all parts against the model, then reads them.

    At any time the memory holds the weights read so far and the tensor in hand (twice: as stored
    and as laid out by us).

    Args:
        config: what the model must have; every component is filled by exactly the given parts.
        parts: the files.
        dtype: what to cast weights to; None keeps what is stored (float64 becomes float32).
        place: makes the final array, by default on JAX's default device.
        progress: is told about every tensor.

    Returns:
        {component: nested parameters}.

    Raises:
        MismatchError: with every entry that is missing, unexpected, ambiguous or mis-shaped.
        WeightsError: a file cannot be read, or the config describes no network.
    """
    wanted = parse_dtype(dtype)
    plans = check_parts(config, parts)
    total = sum(
        part.tensors.entries[name].nbytes
        for part, steps in zip(parts, plans, strict=True)
        for name in steps
    )
    flat: dict[str, Any] = {}
    done = 0
    for part, steps in zip(parts, plans, strict=True):
        for name, array in part.tensors.read(reuse=True):
            if name not in steps:
                continue
            done += array.nbytes
            step = steps[name]
            flat[step.path] = place(_lay_out(step.transform.to_ours(array), step.path, wanted))
            if progress is not None:
                progress(part.tensors.where, done, total)
    return nest(flat)


def _lay_out(array: np.ndarray, path: str, wanted: np.dtype | None) -> np.ndarray:
    """A copy of a view, cast, that JAX can take over."""
    target = array.dtype if wanted is None or path.startswith(STATISTICS) else wanted
    target = np.dtype(np.float32) if target == np.float64 else target
    # XLA on a CPU takes an array over without a copy where it starts at a multiple of 64 bytes.
    size = array.size * target.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    out = raw[start : start + size].view(target).reshape(array.shape)
    if array.ndim < 2 or array.flags.c_contiguous:
        np.copyto(out, array, casting="unsafe")
        return out
    # Blocks of a transposed array's last axis stay in the cache: 3 to 5 times as fast as at once.
    for at in range(0, array.shape[-1], COLUMNS):
        columns = (..., slice(at, at + COLUMNS))
        np.copyto(out[columns], array[columns], casting="unsafe")
    return out


def check_parts(config: ModelConfig, parts: Sequence[Part]) -> list[dict[str, Step]]:
    """Every tensor's way in every part, from headers alone.

    Raises:
        MismatchError, WeightsError: as `load_parts`.
    """
    shapes = checked_shapes(config)
    report = Report()
    plans = []
    for part in parts:
        mine = {path: shapes[path] for path in shapes if path.split("/")[0] in part.components}
        steps, found = plan(part.table, part.tensors.entries, mine, part.tensors.where)
        plans.append(steps)
        report.add(found)
    filled = {component for part in parts for component in part.components}
    for component in sorted({path.split("/")[0] for path in shapes} - filled):
        report.missing.append(f"the whole {component}")
    report.check(ADVICE)
    return plans


def checked_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by path.

    Raises:
        WeightsError: the config describes no network.
    """
    try:
        return flat_shapes(config)
    except Exception as error:  # whatever stumbles while it is traced, the config is to blame
        reason = (str(error).splitlines() or [""])[0][:120]
        raise WeightsError(
            f"the config describes no network that can be built ({reason})"
        ) from None
