"""A dataset on disk: writing it, and random access to its records.

    DATASET/dataset.json                      what holds for all records (`DatasetInfo`)
    DATASET/index.json                        key, person, studio cell, photo hash of every record, in order, per split
    DATASET/face_pictures/<version>/          TFDS's files: *.array_record-*, features.json, dataset_info.json

The index groups records by person without reading a picture.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from etils import epath

from dynamicid_jax.convert.trained_on import DIGITS
from dynamicid_jax.data import store
from dynamicid_jax.data.damage import ALONE, read_twice
from dynamicid_jax.data.feature_store import FeatureSource
from dynamicid_jax.data.index import Index
from dynamicid_jax.data.record import DATASET_VERSION, DatasetInfo, PictureRecord
from dynamicid_jax.errors import DamagedRecordError, InputError, WeightsError, one_line
from dynamicid_jax.models.configs import from_dict

INDEX = "index.json"


class PictureSource:
    """One split of a dataset on disk. Worker processes get its path, and open it again."""

    def __init__(self, folder: Path, split: str, info: DatasetInfo, index: Index) -> None:
        self.folder, self.split, self.info, self.index = folder, split, info, index

    @cached_property
    def _examples(self) -> Any:
        from dynamicid_jax.data.builder import open_split

        # TFDS imports parts of itself when they are first used; two threads that do so at once get unfinished modules.
        with ALONE:
            examples = open_split(self.folder, self.split)
            with contextlib.suppress(Exception):  # damaged or not, it has imported everything
                examples[0]
        return examples

    def open(self) -> None:
        """Opens the files now, in the calling thread; what is wrong with them is told by the first read."""
        with contextlib.suppress(Exception):
            _ = self._examples

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_examples"}

    def __len__(self) -> int:
        return len(self.index.keys)

    def __getitem__(self, position: int) -> PictureRecord:
        """One record.

        Raises:
            DamagedRecordError: its bytes are damaged or missing.
        """
        from dynamicid_jax.data.builder import from_example

        if not 0 <= position < len(self):
            raise IndexError(position)
        key = self.index.keys[position]
        try:
            record = read_twice(
                lambda: from_example(self._examples[position]),
                lambda: self.__dict__.pop("_examples", None),
            )
        except Exception as error:  # readers raise almost anything on damaged bytes
            self.__dict__.pop("_examples", None)
            line = one_line(error, 200)
            raise DamagedRecordError(f"{self.folder}: record {key}: {line}") from error
        if record.key != key:
            raise DamagedRecordError(f"{self.folder}: record {key}: holds {record.key!r}")
        return record


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened dataset.

    Attributes:
        path: as it was given; messages use it.
        folder: where its files are on this machine.
        info: what holds for all records.
        indices: the index of every split.
    """

    path: str
    folder: Path
    info: DatasetInfo
    indices: Mapping[str, Index]

    def index(self, split: str) -> Index:
        """The index of one split.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.indices:
            raise InputError(f"{self.path}: no split {split!r}; it has {', '.join(self.indices)}")
        return self.indices[split]

    def persons(self, split: str) -> list[str]:
        """Whose picture each record of a split is."""
        return self.index(split).persons

    def split(self, split: str) -> Any:
        """Random access to the records of a split: a `PictureSource`, or a `FeatureSource` of features.

        Raises:
            InputError: there is no such split.
        """
        kind = PictureSource if self.info.features is None else FeatureSource
        return kind(self.folder, split, self.info, self.index(split))


def open_dataset(path: epath.PathLike) -> Dataset:
    """Opens a dataset folder, of this machine or of any scheme that etils knows.

    Raises:
        InputError: there is none, it is damaged, or it is of another version.
    """
    info = read_info(path)
    folder = store.local_folder(path)
    table = store.read_json(folder / INDEX)
    try:
        indices = {split: Index.from_json(one) for split, one in table.items()}
        counts = {split: len(index.persons) for split, index in indices.items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{path}: {INDEX} is damaged; prepare the dataset again") from None
    if counts != dict(info.splits or {}):
        raise InputError(
            f"{path}: {INDEX} and {store.INFO} disagree ({counts} against {info.splits} records); "
            "prepare the dataset again"
        )
    return Dataset(str(path), folder, info, indices)


def read_info(path: epath.PathLike) -> DatasetInfo:
    """What holds for all records of a dataset, from dataset.json alone.

    Raises:
        InputError: as `open_dataset`.
    """
    file = store.as_path(path) / store.INFO
    if not file.exists():
        raise InputError(
            f"{path}: no dataset ({store.INFO} is missing); make one with `dynamicid prepare`"
        )
    values = store.read_json(file)
    version = values.get("version") if isinstance(values, dict) else None
    if version != DATASET_VERSION:
        raise InputError(
            f"{path}: a dataset of version {version}; this program reads {DATASET_VERSION}: "
            "prepare it again"
        )
    splits, persons = (values.pop(name, None) or {} for name in ("splits", "persons"))
    try:
        info = from_dict(DatasetInfo, values, str(file))
    except WeightsError as error:
        raise InputError(f"{error}; prepare the dataset again") from None
    return dataclasses.replace(info, splits=splits, persons=persons)


def write_dataset(
    out: epath.PathLike,
    records: Mapping[str, Iterable[PictureRecord]],
    info: DatasetInfo,
    shards: int | None = None,
    overwrite: bool = False,
) -> DatasetInfo:
    """Writes a dataset, whole or not at all.

    Args:
        out: its folder, of any scheme that etils can write.
        records: of every split, read once and in order; splits without records are left out.
        info: what holds for all; the counts are filled in here.
        shards: files per split; None aims at 128 MiB per file.
        overwrite: whether a dataset at `out` may be replaced.

    Returns:
        The info with counts of records and persons.

    Raises:
        InputError: `out` is taken, no records, two of one key, a person in two splits that part persons, or a record
            that does not fit `info`.
        OutputError: the folder cannot be written.
    """
    from dynamicid_jax.data.builder import write_splits

    with store.publishing(out, overwrite=overwrite) as work:
        checked = _Checked(info)
        examples = {}
        for split, some in records.items():
            stream = iter(some)
            first = next(stream, None)
            if first is not None:
                examples[split] = checked.examples(split, chain([first], stream))
        if not examples:
            raise InputError(f"{out}: no pictures to write")
        try:
            write_splits(work, examples, shards)
        except BaseException as error:
            raise (checked.error or error) from None  # TFDS wraps what the records raise
        checked.check_splits()
        store.write_json(work / INDEX, checked.index)
        return write_info(work, info, checked.index)


def write_info(folder: Path, info: DatasetInfo, index: Mapping[str, Any]) -> DatasetInfo:
    """Writes dataset.json with the counts of an index, and returns what it says."""
    info = dataclasses.replace(
        info,
        splits={split: len(table["key"]) for split, table in index.items()},
        persons={split: len(set(table["person"]) - {""}) for split, table in index.items()},
        version=DATASET_VERSION,
    )
    store.write_json(folder / store.INFO, dataclasses.asdict(info))
    return info


class _Checked:
    """Records on their way to the writer: checked, and entered in the index."""

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.index: dict[str, dict[str, list[Any]]] = {}
        self.error: BaseException | None = None
        self._keys: set[str] = set()

    def examples(
        self, split: str, records: Iterable[PictureRecord]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """What TFDS takes."""
        from dynamicid_jax.data.builder import to_example

        table = self.index[split] = {"key": [], "person": [], "studio_cell": [], "photo": []}
        try:
            for number, record in enumerate(records):
                self._check(record)
                for name in ("key", "person", "studio_cell"):
                    table[name].append(getattr(record, name))
                table["photo"].append(record.sha256[:DIGITS])
                yield number, to_example(record)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise

    def _check(self, record: PictureRecord) -> None:
        if not record.key or record.key in self._keys:
            raise InputError(f"record {record.key!r}: every picture needs a key of its own")
        self._keys.add(record.key)
        if len(record.embedding) not in (0, self.info.embedding_width):
            raise InputError(
                f"record {record.key}: its id embedding has {len(record.embedding)} values, "
                f"the dataset's have {self.info.embedding_width}"
            )

    def check_splits(self) -> None:
        """No person in two splits, where splits part persons."""
        if self.info.split_by != "person":
            return
        seen: dict[str, str] = {}
        for split, table in self.index.items():
            for person in sorted(set(table["person"]) - {""}):
                if seen.setdefault(person, split) != split:
                    raise InputError(
                        f"{person}: is in the splits {seen[person]!r} and {split!r}, which should part persons; "
                        "split by picture, or put all of a person's pictures into one split"
                    )
