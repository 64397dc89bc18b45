"""Precomputed records per second that one host process gets from the loader, from a warm cache.

A record is 66 560 bytes: VAE moments of a 512 px picture (64 x 64 x 8, float16) and an id embedding of 512 float16.
They are read in the shuffled order of training, in batches, by the training process itself (threads) or by worker
processes. The aim is 1 000 a second: several times what a GPU trains on.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.config import DataConfig, SourceConfig
from dynamicid_jax.data import store
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.dataset import INDEX, write_info
from dynamicid_jax.data.feature_store import Row, shard_file, write_shard
from dynamicid_jax.data.loader import Loader, make_loader
from dynamicid_jax.data.record import DatasetInfo, FeatureTable, FieldLayout

TABLE = FeatureTable(
    (
        FieldLayout("moments", "float16", (64, 64, 8)),
        FieldLayout("id_embedding", "float16", (512,)),
    ),
    image_size=512,
)
PICTURES_PER_PERSON, BATCH = 35, 64


def write_features(folder: Path, records: int, shards: int) -> None:
    """Random records, as `dynamicid precompute` would lay them out."""
    chance = np.random.default_rng(0)

    def rows(count: int) -> Iterator[Row]:
        for _ in range(count):
            yield {
                "moments": chance.standard_normal((64, 64, 8), np.float32),
                "id_embedding": chance.standard_normal(512, np.float32),
            }

    counts = [len(part) for part in np.array_split(np.arange(records), shards)]
    for number, count in enumerate(counts):
        write_shard(shard_file(folder, "train", number), TABLE, rows(count))
    persons = [f"person{i // PICTURES_PER_PERSON}" for i in range(records)]
    index = {
        "train": {
            "key": [f"{person}/{i}" for i, person in enumerate(persons)],
            "person": persons,
            "studio_cell": [-1] * records,
            "shards": counts,
        }
    }
    store.write_json(folder / INDEX, index)
    write_info(folder, DatasetInfo(landmark_set=0, features=TABLE), index)


def records_per_second(loader: Loader, seconds: float) -> float:
    """Over at least `seconds`, once the first batches have come."""
    for _ in range(8):
        next(loader)
    taken, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < seconds:
        next(loader)
        taken += BATCH
    return taken / passed


def reading(workers: int, records: int = 4096, seconds: float = 3.0) -> Callable[[], float]:
    """Records per second with so many reading processes; every repetition reads in another order."""
    scratch = tempfile.TemporaryDirectory()
    write_features(Path(scratch.name), records, shards=4)
    for file in Path(scratch.name).rglob("*.array_record"):
        file.read_bytes()  # into the cache
    spec = BatchSpec(("pixels", "id_embedding", "person"), 512, targets=0)
    config = DataConfig((SourceConfig(scratch.name),), workers=workers, prefetch=8)
    seeds = itertools.count()

    def run(_: Any = scratch) -> float:
        loader = make_loader(config, spec, batch_size=BATCH, seed=next(seeds))
        rate = records_per_second(loader, seconds)
        loader.close()
        return rate

    return run
