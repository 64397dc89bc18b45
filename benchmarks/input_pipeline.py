"""Precomputed records per second that one host process gets from the loader, from a warm cache.

    python benchmarks/input_pipeline.py --seconds 10

A record is 66 560 bytes: VAE moments of a 512 px picture (64 x 64 x 8, float16) and an id embedding of 512 float16.
They are read in the shuffled order of training, in batches, by the training process itself (threads) and by worker
processes; `--touch` also sums every batch, so that the consumer reads each byte once more. The aim is 1 000 a second.
Prints the rows of docs/PERFORMANCE.md.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dynamicid_jax.config import DataConfig, SourceConfig
from dynamicid_jax.data import store
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.dataset import INDEX, write_info
from dynamicid_jax.data.feature_store import Row, record_bytes, shard_file, write_shard
from dynamicid_jax.data.loader import Loader, make_loader
from dynamicid_jax.data.record import DatasetInfo, FeatureTable, FieldLayout

TABLE = FeatureTable(
    (
        FieldLayout("moments", "float16", (64, 64, 8)),
        FieldLayout("id_embedding", "float16", (512,)),
    ),
    image_size=512,
)
PICTURES_PER_PERSON = 35


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


def records_per_second(loader: Loader, seconds: float, batch_size: int, touch: bool) -> float:
    """Over at least `seconds`, once the first batches have come."""
    for _ in range(8):
        next(loader)
    count, begin = 0, time.perf_counter()
    while (passed := time.perf_counter() - begin) < seconds:
        step = next(loader)
        if touch:
            for value in step.batch.values():
                value.view(np.uint8).sum()
        count += batch_size
    return count / passed


def main() -> None:
    """Writes the records, warms the cache, measures every setting several times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=8192)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--targets", type=int, default=0, help="groups of 1 + N pictures instead")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--touch", action="store_true")
    args = parser.parse_args()
    spec = BatchSpec(("pixels", "id_embedding", "person"), 512, targets=args.targets)
    with tempfile.TemporaryDirectory() as scratch:
        write_features(Path(scratch), args.records, args.shards)
        for file in Path(scratch).rglob("*.array_record"):
            file.read_bytes()  # into the cache
        print(
            f"{record_bytes(TABLE):,} bytes a record, {args.records:,} records, {os.cpu_count()} cores"
        )
        print("| workers | records/s, median | lowest | highest |")
        print("|---|---|---|---|")
        for workers in args.workers:
            config = DataConfig((SourceConfig(scratch),), workers=workers, prefetch=8)
            rates = []
            for repeat in range(args.repeats):
                loader = make_loader(config, spec, batch_size=args.batch_size, seed=repeat)
                each = args.batch_size * (1 + args.targets)
                rates.append(records_per_second(loader, args.seconds, each, args.touch))
                loader.close()
            middle = statistics.median(rates)
            print(
                f"| {workers} | {middle:,.0f} | {min(rates):,.0f} | {max(rates):,.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
