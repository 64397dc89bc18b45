"""Precomputed features on disk: every record the same arrays in the same order, as raw bytes in ArrayRecord.

    FEATURES/dataset.json                     `DatasetInfo` with its table of arrays
    FEATURES/index.json                       as of every dataset, and the number of records of each file
    FEATURES/features/<split>-00003.array_record

A record is read without parsing: an array is a view into its bytes.
"""

import bisect
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.data.damage import read_twice
from dynamicid_jax.data.index import Index
from dynamicid_jax.data.record import DatasetInfo, FeatureTable, FieldLayout
from dynamicid_jax.errors import DamagedRecordError, one_line

FOLDER = "features"
# Features hardly shrink (float16 latents by 7 %), and unpacking would take as long again as reading.
WRITER_OPTIONS = "group_size:1,uncompressed"
READER_OPTIONS = "readahead_buffer_size:0"  # records are read in random order
READER_BUFFER = 32768

Row = dict[str, np.ndarray]


def dtype_of(name: str) -> np.dtype:
    """A dtype by name."""
    if name == "bfloat16":  # not NumPy's own: JAX brings it
        import jax.numpy as jnp

        return np.dtype(jnp.bfloat16)
    return np.dtype(name)


def field_bytes(field: FieldLayout) -> int:
    """Size of one array of a record."""
    return dtype_of(field.dtype).itemsize * math.prod(field.shape)


def record_bytes(table: FeatureTable) -> int:
    """Size of one record."""
    return sum(field_bytes(field) for field in table.fields)


def shard_file(folder: Path, split: str, number: int) -> Path:
    """One of a split's files."""
    return folder / FOLDER / f"{split}-{number:05d}.array_record"


def pack(table: FeatureTable, row: Mapping[str, Any]) -> bytes:
    """The bytes of a record.

    Raises:
        ValueError: an array of another shape than the table's.
    """
    parts = []
    for field in table.fields:
        array = np.asarray(row[field.name])
        if array.shape != tuple(field.shape):
            raise ValueError(f"{field.name}: {array.shape} does not fit {field.shape}")
        parts.append(array.astype(dtype_of(field.dtype)).tobytes())
    return b"".join(parts)


def write_shard(file: Path, table: FeatureTable, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes one file, whole or not at all, and returns its number of records."""
    from array_record.python.array_record_module import ArrayRecordWriter

    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    writer = ArrayRecordWriter(str(part), WRITER_OPTIONS)
    count = 0
    try:
        for row in rows:
            writer.write(pack(table, row))
            count += 1
    finally:
        writer.close()
    part.replace(file)
    return count


class FeatureSource:
    """One split of precomputed features. Worker processes get its path, and open the files again."""

    def __init__(self, folder: Path, split: str, info: DatasetInfo, index: Index) -> None:
        assert info.features is not None
        self.folder, self.split, self.info, self.index = folder, split, info, index
        self.table = info.features
        self._ends = list(accumulate(index.shards))

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        kept.pop("_readers", None)
        return kept

    def __len__(self) -> int:
        return len(self.index.keys)

    @cached_property
    def _readers(self) -> dict[int, Any]:
        return {}

    @cached_property
    def _layout(self) -> list[tuple[str, np.dtype, tuple[int, ...], int, int]]:
        """Name, dtype, shape, number of values and offset of every array."""
        layout, offset = [], 0
        for field in self.table.fields:
            count = math.prod(field.shape)
            layout.append((field.name, dtype_of(field.dtype), tuple(field.shape), count, offset))
            offset += field_bytes(field)
        return layout

    def _bytes(self, position: int) -> bytes:
        from array_record.python.array_record_module import ArrayRecordReader

        shard = bisect.bisect_right(self._ends, position)
        reader = self._readers.get(shard)
        if reader is None:
            file = shard_file(self.folder, self.split, shard)
            reader = ArrayRecordReader(
                str(file), options=READER_OPTIONS, file_reader_buffer_size=READER_BUFFER
            )
            self._readers[shard] = reader
        start = self._ends[shard - 1] if shard else 0
        return reader.read([position - start])[0]

    def open(self) -> None:
        """Imports the reader in the calling thread, and not at the first read."""
        from array_record.python import array_record_module  # noqa: F401

    def row(self, position: int) -> Row:
        """All arrays of one record; they cannot be written to.

        Raises:
            DamagedRecordError: its bytes are damaged or missing.
        """
        if not 0 <= position < len(self):
            raise IndexError(position)
        try:
            data = read_twice(lambda: self._bytes(position), self._readers.clear)
            return {
                name: np.frombuffer(data, dtype, count, offset).reshape(shape)
                for name, dtype, shape, count, offset in self._layout
            }
        except Exception as error:  # readers raise almost anything on damaged bytes
            self._readers.clear()
            key, line = self.index.keys[position], one_line(error, 200)
            raise DamagedRecordError(f"{self.folder}: record {key}: {line}") from error
