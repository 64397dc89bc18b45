"""What is known of every record of a dataset without reading one, and what a source of records is."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from dynamicid_jax.data.record import DatasetInfo, PictureRecord


@dataclass(frozen=True, eq=False)
class Index:
    """What is known of every record without reading it.

    Attributes:
        keys: name of each record.
        persons: whose picture each one is.
        studio_cells: 5 * expression + pose, -1 outside the studio grid.
        shards: records of each file; of datasets of precomputed features only.
        photos: the first 16 hex digits of the SHA-256 of each record's photo file; () where a dataset does not say.
    """

    keys: list[str]
    persons: list[str]
    studio_cells: Int[np.ndarray, "k"]
    shards: tuple[int, ...] = ()
    photos: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "Index":
        """From one split's entry of index.json."""
        cells = np.array(table["studio_cell"], np.int32)
        shards, photos = (tuple(table.get(name, ())) for name in ("shards", "photo"))
        return cls(table["key"], table["person"], cells, shards, photos)


@runtime_checkable
class Source(Protocol):
    """Random access to pictures: all that the loader asks of a dataset, on disk or made up on the spot."""

    info: DatasetInfo
    index: Index

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> PictureRecord:
        """One record; `DamagedRecordError` where it cannot be read."""
        ...
