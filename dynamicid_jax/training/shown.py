"""Which held-out pictures a sheet shows: the first people of a dataset's split, or of the world's held-out ones."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etils import epath

from dynamicid_jax.data.batch import FACE
from dynamicid_jax.data.record import PictureRecord
from dynamicid_jax.data.world import WorldLoader
from dynamicid_jax.errors import DamagedRecordError
from dynamicid_jax.training.pictures import EDITS
from dynamicid_jax.training.record_people import Picture
from dynamicid_jax.world.sources import Source


@dataclass(frozen=True)
class Shown:
    """What a sheet is made of; see `training.pictures.Sheet`."""

    records: Sequence[PictureRecord] = ()
    motions: Sequence[PictureRecord] = ()
    references: Mapping[str, Picture] = field(default_factory=dict)


def dataset_pictures(path: epath.PathLike, split: str, count: int) -> Shown:
    """The first picture of each of the first persons of a split; nobody where there is no such split."""
    from dynamicid_jax.data.dataset import (
        open_dataset,
    )  # Grain and TFDS: not for runs on drawn people

    dataset = open_dataset(path)
    if split not in (dataset.info.splits or {}):
        return Shown()
    source, seen = dataset.split(split), set()
    records: list[PictureRecord] = []
    for place, person in enumerate(dataset.persons(split)):
        if (person and person in seen) or len(records) == count:
            continue
        seen.add(person)
        with contextlib.suppress(DamagedRecordError):
            record = source[place]
            if hasattr(record, "picture"):  # precomputed features hold none
                records.append(record)
    return Shown(records)


def world_pictures(loader: WorldLoader, count: int) -> Shown:
    """Held-out people of the world, with references and identities as training sees them.

    Args:
        loader: of held-out batches.
        count: people, or scenes of several.
    """
    source = loader.source
    numbers = _numbers(source, count)
    wanted = len(numbers)
    numbers += _other_views(source)
    made = loader.pictures(numbers)
    records, references = source.records(numbers, made["pixels"]), {}
    if set(FACE) <= set(made):
        records = [
            replace(one, embedding=made["id_embedding"][row]) for row, one in enumerate(records)
        ]
        references = {one.key: made["reference"][row] for row, one in enumerate(records)}
    return Shown(records[:wanted], records[wanted:], references)


def _numbers(source: Source, count: int) -> list[int]:
    """One picture of each of the first people, each in another motion; the first scenes of a source of scenes."""
    if not source.views:
        return list(range(min(count, len(source))))
    people = range(min(count, source.people))
    return [int(source.number(person, _view(source, person))) for person in people]


def _other_views(source: Source) -> list[int]:
    """More pictures of the first person, whose motions it can be given; none in scenes, which belong to nobody."""
    if not source.views:
        return []
    views: dict[Any, None] = dict.fromkeys(_view(source, place) for place in range(EDITS + 1))
    return [int(source.number(0, view)) for view in list(views)[1:]]


def _view(source: Source, place: int) -> int:
    """Views far apart: a face in front first, where the views are the studio grid's."""
    return (2 + 11 * place) % source.views
