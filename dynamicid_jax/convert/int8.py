"""8-bit weights: a byte per value and one scale per output channel, the last axis of kernels and embeddings.

    s[o]     = up(max_i |W[i, o]| / 127)        (1)   1 where a channel is all zeros
    q[i, o]  = round(W[i, o] / s[o])            (2)   half to even, in -127 ... 127
    W'[i, o] = q[i, o] s[o]                     (3)   |W - W'| <= s / 2

`up` rounds up to 16 significant bits. So (3) is exact in float32 (7 + 16 of its 24 bits), and (1) and (2) give q and s
again for W', bit for bit: weights are rounded once, however often they are stored.

In a file: NAME int8, NAME.scale float32 [o]. Arrays of rank 0 and 1 (biases, norms, statistics) stay float32.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from dynamicid_jax.convert.container import Entry
from dynamicid_jax.convert.tensors import Tensors
from dynamicid_jax.errors import WeightsError

INT8 = "int8"
SCALE = ".scale"
LEVELS = 127  # symmetric: -128 is not used
_DROPPED = 0xFF  # the last 8 of float32's 24 significant bits


def quantise(
    weights: Float[np.ndarray, "*i o"], name: str = "weights"
) -> tuple[Int8[np.ndarray, "*i o"], Float[np.ndarray, "o"]]:
    """Formulas (1) and (2).

    Raises:
        WeightsError: values that are not finite; the message begins with `name`.
    """
    values = np.asarray(weights, np.float32)
    largest = np.abs(values).max(axis=tuple(range(values.ndim - 1)), initial=0.0)
    if not np.isfinite(largest).all():
        raise WeightsError(f"{name}: holds values that are not finite; it cannot be stored as int8")
    scale = _up(largest / np.float32(LEVELS))
    scale = np.where(scale > 0, scale, np.float32(1))
    levels = np.rint(values / scale.reshape((1,) * (values.ndim - 1) + (-1,)))
    return levels.clip(-LEVELS, LEVELS).astype(np.int8), scale


def dequantise(
    levels: Int8[np.ndarray, "*i o"], scale: Float[np.ndarray, "o"]
) -> Float[np.ndarray, "*i o"]:
    """Formula (3), float32."""
    return levels * scale.astype(np.float32).reshape((1,) * (levels.ndim - 1) + (-1,))


def _up(values: Float[np.ndarray, "o"]) -> Float[np.ndarray, "o"]:
    """The next float32 of 16 significant bits that is at least as large; for values of at least 0."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(_DROPPED)) & ~np.uint32(_DROPPED)).view(np.float32)


def stored(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays as they are written.

    Raises:
        WeightsError: values that are not finite.
    """
    result = {}
    for name, array in arrays.items():
        if np.ndim(array) < 2:
            result[name] = np.asarray(array, np.float32)
        else:
            result[name], result[name + SCALE] = quantise(np.asarray(array, np.float32), name)
    return result


@dataclass(frozen=True)
class Dequantised:
    """A file with 8-bit weights, read like any other: as float32 arrays, one at a time."""

    stored: Tensors

    @property
    def where(self) -> str:
        """The name for messages."""
        return self.stored.where

    @property
    def entries(self) -> dict[str, Entry]:
        """Kind and shape of every tensor as it is read."""
        return {
            name: Entry("F32", entry.shape) if entry.dtype == "I8" else entry
            for name, entry in self.stored.entries.items()
            if not name.endswith(SCALE)
        }

    def read(self, reuse: bool = False) -> Iterator[tuple[str, np.ndarray]]:
        """See `Tensors.read`.

        Raises:
            WeightsError: a file ends early or cannot be read, or a scale is no positive number.
        """
        scales = dict(_part(self.stored, scales=True).read())
        for name, scale in scales.items():
            if not (np.isfinite(scale) & (scale > 0)).all():
                raise WeightsError(f"{self.where}: {name} must be positive; the file is damaged")
        for name, array in _part(self.stored, scales=False).read(reuse):
            whole = array.dtype == np.int8
            yield name, dequantise(array, scales[name + SCALE]) if whole else array


def opened(tensors: Tensors) -> Tensors | Dequantised:
    """The file itself, or where it holds 8-bit weights, its reader.

    Raises:
        WeightsError: weights without their scales, or scales without weights.
    """
    entries = tensors.entries
    small = {name: entry for name, entry in entries.items() if entry.dtype == "I8"}
    given = {name for name in entries if name.endswith(SCALE)}
    for name, entry in small.items():
        wanted = Entry("F32", entry.shape[-1:])
        if entries.get(name + SCALE) != wanted or not entry.shape:
            raise WeightsError(
                f"{tensors.where}: {name} is int8, and {name + SCALE} is not float32 {list(wanted.shape)}"
            )
    if lonely := sorted(given - {name + SCALE for name in small}):
        raise WeightsError(f"{tensors.where}: {lonely[0]} is a scale of no int8 weights")
    return Dequantised(tensors) if small else tensors


def _part(tensors: Tensors, *, scales: bool) -> Tensors:
    """Only the scales, or everything else: they may lie in any order."""
    files = {
        path: {name: at for name, at in ranges.items() if name.endswith(SCALE) == scales}
        for path, ranges in tensors.files.items()
    }
    return Tensors(tensors.where, files, tensors.holder)
