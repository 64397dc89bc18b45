"""Runs the frozen networks over a dataset and writes what they make, file by file.

An interrupted run leaves its finished files in the work folder; the same job goes on after the last of them.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dynamicid_jax.data import store
from dynamicid_jax.data.batch import FEATURES, NETWORKS
from dynamicid_jax.data.damage import Damage
from dynamicid_jax.data.dataset import INDEX, Dataset, write_info
from dynamicid_jax.data.feature_store import Row, shard_file, write_shard
from dynamicid_jax.data.features import Frozen, Job, encode
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.data.transforms import PictureFields
from dynamicid_jax.errors import DamagedRecordError, InputError
from dynamicid_jax.types import Params

MAX_DAMAGED = 0.01
READERS = 4  # threads that read and decode
PROGRESS = "progress"  # says which files of the work folder are whole; gone in the end

Tell = Callable[[str, int, int], None]


def precompute(
    dataset: Dataset,
    frozen: Frozen,
    job: Job,
    out: Any,
    *,
    batch_size: int = 8,
    tell: Tell = lambda split, done, total: None,
) -> DatasetInfo:
    """Computes and writes what a job says; a second call goes on where the first one was interrupted.

    Args:
        dataset: as given to `plan_job`.
        frozen: likewise.
        job: its answer.
        out: folder to write, of any scheme that etils can write.
        batch_size: pictures per run of the networks.
        tell: is told split, records done, and how many there are.

    Returns:
        The info of what was written.

    Raises:
        InputError: `out` is taken, too little room, over 1 % damaged records, or a feature that the dtype cannot hold.
    """
    store.check_out(out, overwrite=False)
    _check_room(store.work_folder(out), job)
    with store.publishing(out, overwrite=False, fresh=False) as work:
        _keep_progress(work, dataset, job)
        run = _Run(dataset, frozen, job, work, batch_size, tell)
        index = {split: run.split(split) for split in dataset.indices}
        shutil.rmtree(work / PROGRESS)
        store.write_json(work / INDEX, index)
        return write_info(work, job.info, index)


def _check_room(work: Path, job: Job) -> None:
    """Refuses before the first record what would not fit in the end."""
    there = next(folder for folder in (work, *work.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    done = sum(file.stat().st_size for file in work.rglob("*.array_record"))
    if job.total() - done > free:
        raise InputError(
            f"--out: {job.total() / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free in {there}; give another "
            "folder, fewer features or a smaller picture"
        )


def _keep_progress(work: Path, dataset: Dataset, job: Job) -> None:
    """Keeps what an interrupted run of the same job left, and removes the rest of another one."""
    plan = {"data": dataset.path, "info": dataclasses.asdict(job.info), "shard": job.shard}
    plan = json.loads(json.dumps(plan))  # as it comes back from the file
    file = work / PROGRESS / "job.json"
    if not (file.is_file() and store.read_json(file) == plan):
        for entry in work.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        file.parent.mkdir()
        store.write_json(file, plan)


class _Run:
    """The state of one call of `precompute`."""

    def __init__(
        self, dataset: Dataset, frozen: Frozen, job: Job, work: Path, batch_size: int, tell: Tell
    ) -> None:
        self.dataset, self.frozen, self.job, self.work = dataset, frozen, job, work
        self.batch_size, self.tell = batch_size, tell
        self.damage = Damage(MAX_DAMAGED, sum(job.info.splits.values()))
        needed = {NETWORKS[raw] for raw in job.computed}
        self._weights = jax.device_put({name: frozen.weights[name] for name in needed})
        self._encode = jax.jit(partial(_encode, frozen.config))

    def split(self, split: str) -> dict[str, list[Any]]:
        """Writes all files of a split, and returns its entry of the index."""
        index = self.dataset.index(split)
        total, size = len(index.keys), self.job.shard
        kept: list[int] = []
        shards = []
        for number, start in enumerate(range(0, total, size)):
            positions = range(start, min(start + size, total))
            note = self.work / PROGRESS / f"{split}-{number:05d}.json"
            if not note.is_file():  # written last: where it is, the file is whole
                good: list[int] = []
                file = shard_file(self.work, split, number)
                write_shard(file, self.job.table, self._rows(split, positions, good))
                store.write_json(note, good)
            done = store.read_json(note)
            kept += done
            shards.append(len(done))
            self.tell(split, positions.stop, total)
        return {
            "key": [index.keys[i] for i in kept],
            "person": [index.persons[i] for i in kept],
            "studio_cell": [int(index.studio_cells[i]) for i in kept],
            "photo": [index.photos[i] for i in kept] if index.photos else [],
            "shards": shards,
        }

    def _rows(self, split: str, positions: range, good: list[int]) -> Iterator[Row]:
        """The rows of one file; positions that could be read are added to `good`."""
        index = self.dataset.index(split)
        fields = PictureFields(self.dataset.split(split), self.job.spec, self.frozen.tokenizer)

        def read(position: int) -> Row | DamagedRecordError:
            try:
                return fields.row(position)
            except DamagedRecordError as error:
                return error

        with ThreadPoolExecutor(READERS) as pool:
            for start in range(positions.start, positions.stop, self.batch_size):
                some = range(start, min(start + self.batch_size, positions.stop))
                rows = []
                for position, row in zip(some, pool.map(read, some), strict=True):
                    if isinstance(row, DamagedRecordError):
                        self.damage.add([(index.keys[position], str(row))], 0)
                    else:
                        good.append(position)
                        rows.append(row)
                self.damage.drawn += len(rows)
                yield from self._with_features(rows)
                self.tell(split, some.stop, len(index.keys))

    def _with_features(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Rows with their features; always one shape of batch, so that one program is compiled."""
        if not rows:
            return
        padded = [*rows, *[rows[0]] * (self.batch_size - len(rows))]
        raw = {name: np.stack([row[name] for row in padded]) for name in self.job.computed}
        features = jax.device_get(self._encode(self._weights, raw))
        for number, row in enumerate(rows):
            made = {name: self._stored(name, value[number]) for name, value in features.items()}
            yield row | made

    def _stored(self, name: str, value: np.ndarray) -> np.ndarray:
        """A feature in the dtype asked for."""
        field = next(field for field in self.job.table.fields if field.name == name)
        if field.dtype == "float16" and not np.abs(value).max() <= np.finfo(np.float16).max:
            raise InputError(f"{name}: a value does not fit into float16; use --dtype bfloat16")
        return value


def _encode(config: Any, weights: Params, raw: dict[str, Any]) -> dict[str, Any]:
    """All features of a batch."""
    return {FEATURES[name]: encode(config, weights, name, value) for name, value in raw.items()}
