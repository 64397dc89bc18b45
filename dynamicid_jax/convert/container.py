"""The safetensors container, read and written one tensor at a time (standard library only).

    8 bytes: header length n, little endian
    n bytes: JSON {name: {dtype, shape, data_offsets}}
    data

A memory map would count every page it has touched as the process's own memory. Reading ranges keeps
loading at one tensor above the size of the model; writing in turn never builds the file in memory.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

ITEM_SIZES = {
    **dict.fromkeys(("F64", "I64"), 8),
    **dict.fromkeys(("F32", "I32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL"), 1),
}
MAX_RANK, MAX_VALUES = 32, 1 << 48


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: the container's dtype code ("F32", "BF16", ...) and the shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of data; `dtype` must be one of `ITEM_SIZES`."""
        return self.size * ITEM_SIZES[self.dtype]


def write(
    path: Path,
    entries: Mapping[str, Entry],
    data: Iterable[tuple[str, Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a file from `data`, pairs of name and bytes-like that come in the order of `entries`.

    Raises:
        OSError: the file cannot be written.
        ValueError: the data does not follow the entries.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, entry in entries.items():
        end = offset + entry.nbytes
        header[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data starts aligned
    expected = iter(entries.items())
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, values in data:
            wanted, entry = next(expected, ("nothing", Entry("U8", ())))
            if name != wanted or memoryview(values).nbytes != entry.nbytes:
                raise ValueError(
                    f"{path}: data of {name} does not follow the header, which has {wanted}"
                )
            file.write(values)
        if next(expected, None) is not None:
            raise ValueError(f"{path}: data ends before the header does")
        file.flush()
        os.fsync(file.fileno())  # a rename must not reach the disk before the data


def write_order(entries: Mapping[str, Entry]) -> list[str]:
    """Names by falling item size, then by name: every tensor lies aligned to its own item."""
    return sorted(entries, key=lambda name: (-ITEM_SIZES[entries[name].dtype], name))


def read_ranges(path: Path) -> dict[str, tuple[Entry, int]]:
    """Every tensor's entry and the position of its data in the file, in the order of the data.

    The header must have been validated before (`tensors.open_file` has safetensors do it).

    Raises:
        ValueError: a shape that no array can have, which an empty tensor may claim: [0, 2**60].
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, value in header.items():
        sides = value["shape"]
        if len(sides) > MAX_RANK or prod(max(side, 1) for side in sides) > MAX_VALUES:
            raise ValueError(f"tensor {name} is of a shape that no array has")
    ordered = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    return {
        name: (Entry(value["dtype"], tuple(value["shape"])), 8 + length + value["data_offsets"][0])
        for name, value in ordered
    }
