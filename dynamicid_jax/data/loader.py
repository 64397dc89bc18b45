"""From datasets to batches: every host gets its rows of the global batch, whatever reads them.

    batch number g, host i of n, global batch size B:   examples g B + i B/n  to  g B + (i + 1) B/n  of data/sources.py

A loader's state is the number of batches handed out. It can be restored on any number of hosts, devices and worker
processes, and goes on with the same examples. Grain shuffles, mixes, reads ahead and runs the worker processes.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np
from jaxtyping import Int

from dynamicid_jax.config import DataConfig
from dynamicid_jax.data.batch import BatchSpec, Variant
from dynamicid_jax.data.damage import Damage, logger
from dynamicid_jax.data.dataset import open_dataset
from dynamicid_jax.data.feature_store import FeatureSource
from dynamicid_jax.data.fit import check_fields, check_same_fields
from dynamicid_jax.data.order import Step, go_on
from dynamicid_jax.data.sources import Plan, Pool, group_pools, single_pools
from dynamicid_jax.data.transforms import FeatureFields, PictureFields
from dynamicid_jax.data.workers import living_with, parse_flags
from dynamicid_jax.errors import DamagedRecordError, InputError

ATTEMPTS = 50  # other draws before a position is given up
ENDLESS = 2**40
SHARED_BYTES = 16384  # smaller arrays come through the pipe
NAMED = 5  # persons in a message


@dataclass(eq=False)
class _Made:
    """What a worker hands over beside the arrays."""

    keys: list[str]
    damaged: list[tuple[str, str]]
    failed: bool = False


@dataclass(eq=False)
class _Maker(grain.transforms.Map):
    """Batch number to this host's rows. Runs in worker processes: it holds no open file and no JAX array."""

    plan: Plan
    fields: Sequence[PictureFields | FeatureFields]
    numbers: Sequence[Int[np.ndarray, " _"]]
    batch_size: int
    first: int
    rows: int

    def map(self, number: int) -> dict[str, Any]:
        """The rows, stacked; keys and damage as `_Made`."""
        start = number * self.batch_size + self.first
        made = _Made([], [])
        examples = []
        for position in range(start, start + self.rows):
            example = self._example(position, made)
            if example is None:
                return {"made": dataclasses.replace(made, failed=True), "batch": {}}
            examples.append(example)
        batch = {name: np.stack([one[name] for one in examples]) for name in examples[0]}
        return {"made": made, "batch": batch}

    def _example(self, position: int, made: _Made) -> dict[str, np.ndarray] | None:
        """One example's arrays; a damaged record is replaced, in a way that depends on the position alone."""
        attempt, rows, bad = 0, dict[int, dict[str, np.ndarray]](), set[int]()
        while attempt < ATTEMPTS:
            draw = self.plan.draw(position, attempt, bad)
            if draw is None:
                attempt, rows, bad = attempt + 1, {}, set()
                continue
            fields = self.fields[draw.source]
            for record in set(draw.records) - rows.keys():
                try:
                    rows[record] = fields.row(record)
                except DamagedRecordError as error:
                    bad.add(record)
                    made.damaged.append((fields.source.index.keys[record], str(error)))
            if not bad & set(draw.records):
                keys = fields.source.index.keys
                made.keys.append(" ".join(keys[record] for record in draw.records))
                person = self.numbers[draw.source][draw.records[0]]
                return self._stacked([rows[record] for record in draw.records]) | {"person": person}
        return None

    def _stacked(self, rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        if not self.plan.targets:
            return rows[0]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class Loader(Iterator[Step]):
    """Batches, one after the other; see `make_loader`.

    Attributes:
        is_features: raw fields that come as precomputed features instead.
        models: what the features were computed with, for `data.features.check_models`; empty for pictures.
        variants: of held-out batches: none, nothing but its caption is known of a record.
        batches: number of batches of one pass; None where there is no end.
    """

    def __init__(
        self, maker: _Maker, config: DataConfig, damage: Damage, is_features: frozenset[str]
    ) -> None:
        self.is_features = is_features
        self.variants: Mapping[str, Variant] = {}
        source = maker.fields[0].source
        self.models = source.table.models if isinstance(source, FeatureSource) else ()
        self._maker, self._config, self._damage = maker, config, damage
        plan, size = maker.plan, maker.batch_size
        self.batches = None if plan.repeat else -(-plan.units // size)
        self._position = 0
        self._iterator: Any = None

    def __next__(self) -> Step:
        """The next batch.

        Raises:
            InputError: too many damaged records.
        """
        if self.batches is not None and self._position >= self.batches:
            raise StopIteration
        if self._iterator is None:
            self._iterator = self._start()
        element = self._element()
        made: _Made = element["made"]
        try:
            self._damage.add(made.damaged, len(made.keys) * (1 + self._maker.plan.targets))
            if made.failed:
                raise InputError(f"nothing readable in {ATTEMPTS} draws: {self._damage.list()}")
        except InputError:
            self.close()
            raise
        self._position += 1
        epoch = self._position * self._maker.batch_size / self._maker.plan.units
        batch = element["batch"]
        if self._config.workers:  # out of shared memory, which is scarce in containers
            batch = {name: np.array(value) for name, value in batch.items()}
        return Step(batch, made.keys, epoch)

    def _element(self) -> dict[str, Any]:
        """What comes next out of Grain."""
        try:
            return next(self._iterator)
        except RuntimeError as error:
            if "Worker process was terminated" not in str(error):
                raise
            self.close()
            raise InputError(
                "data.workers: a reading process ended unexpectedly, mostly for lack of memory; lower data.workers or "
                "data.prefetch"
            ) from error

    def _start(self) -> Any:
        """Grain's iterator over the batches from the current position on."""
        stop = ENDLESS if self.batches is None else self.batches
        batches = grain.MapDataset.range(self._position, stop).map(self._maker)
        workers, ahead = self._config.workers, max(1, self._config.prefetch)
        if not workers:
            threads = min(ahead, os.cpu_count() or 1, 16)
            options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
            return iter(batches.to_iter_dataset(options))
        parse_flags()
        dataset = batches.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
        small = grain.experimental.DatasetOptions(min_shm_size=SHARED_BYTES)
        dataset = grain.experimental.WithOptionsIterDataset(dataset, small)
        # Each worker keeps as many on its own side and on ours, and one in its hands.
        each = max(1, ahead // (2 * workers))
        processes = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=each)
        return iter(dataset.mp_prefetch(processes, worker_init_fn=living_with(os.getpid())))

    @property
    def damaged(self) -> list[str]:
        """Keys of the damaged records that this host met."""
        return list(self._damage.keys)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON: batches handed out, and the damage that this host met."""
        return {
            "position": self._position,
            "batch_size": self._maker.batch_size,
            "seed": self._maker.plan.seed,
            "drawn": self._damage.drawn,
            "damaged": self.damaged,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken; with another batch size, at the same example.

        Raises:
            InputError: a state of another seed, or one that does not fall between two batches.
        """
        position = go_on(state, self._maker.plan.seed, self._maker.batch_size)
        self.close()
        self._position = position
        self._damage.drawn = state["drawn"]
        self._damage.remember(state["damaged"])

    def close(self) -> None:
        """Ends worker processes; the next batch starts new ones."""
        iterator, self._iterator = self._iterator, None
        if hasattr(iterator, "close"):
            iterator.close()


def make_loader(
    config: DataConfig,
    spec: BatchSpec,
    *,
    batch_size: int,
    seed: int,
    tokenizer: Any = None,
    process_index: int = 0,
    process_count: int = 1,
    split: str | None = None,
    repeat: bool = True,
    sources: Sequence[Any] | None = None,
) -> Loader:
    """Opens a run's datasets and lines up their examples.

    Args:
        config: datasets, worker processes, limits.
        spec: what a batch holds.
        batch_size: of the global batch: pictures, or persons of a grouped batch.
        seed: of order and groups.
        tokenizer: of the model, for fields of text.
        process_index: which host this is.
        process_count: of how many.
        split: instead of every source's own.
        repeat: False: one pass in fixed order, the last batch filled up from the start.
        sources: opened sources instead of `config.sources`' paths, one for each (its weight counts), on disk or not.

    Raises:
        InputError: a dataset that cannot be used, datasets that do not mix, or sizes that do not divide.
    """
    if batch_size < 1 or batch_size % process_count:
        raise InputError(
            f"batch_size: {batch_size} examples do not divide among {process_count} hosts"
        )
    if not config.sources:
        raise InputError("data.sources: no dataset given; `dynamicid prepare` makes one")
    names = [str(one.path) for one in config.sources]
    if sources is None:
        sources = [open_dataset(one.path).split(split or one.split) for one in config.sources]
        if not config.workers:  # reading threads must not be the first to import what opens files
            for source in sources:
                source.open()
    for name, source in zip(names, sources, strict=True):
        check_fields(name, source, spec, tokenizer)
    is_features = check_same_fields(names, sources, spec)
    weights = [one.weight for one in config.sources]
    plan = Plan(_pools(names, sources, weights, spec), spec.targets, seed, repeat)
    rows = batch_size // process_count
    maker = _Maker(
        plan,
        [_fields(source, spec, tokenizer) for source in sources],
        _person_numbers(sources),
        batch_size,
        process_index * rows,
        rows,
    )
    damage = Damage(config.max_damaged, sum(len(source) for source in sources))
    return Loader(maker, config, damage, is_features)


def _fields(source: Any, spec: BatchSpec, tokenizer: Any) -> PictureFields | FeatureFields:
    if isinstance(source, FeatureSource):
        return FeatureFields(source, spec)
    return PictureFields(source, spec, tokenizer)


def _person_numbers(sources: Sequence[Any]) -> list[Int[np.ndarray, " _"]]:
    """The same number for the same name over all sources; -1 for nobody in particular."""
    names = sorted({person for source in sources for person in source.index.persons} - {""})
    number = {"": -1} | {name: i for i, name in enumerate(names)}
    return [
        np.array([number[person] for person in source.index.persons], np.int32)
        for source in sources
    ]


def _pools(
    names: Sequence[str], sources: Sequence[Any], weights: Sequence[float], spec: BatchSpec
) -> list[Pool]:
    """What is drawn from; persons with a single picture are left out of groups, with a word.

    Raises:
        InputError: nobody has two pictures.
    """
    indices = [source.index for source in sources]
    if not spec.targets:
        return single_pools(indices, weights)
    pools, lonely = group_pools(indices, weights)
    for number, (name, alone) in enumerate(zip(names, lonely, strict=True)):
        who = ", ".join(alone[:NAMED]) + (", ..." if len(alone) > NAMED else "")
        if not any(pool.source == number for pool in pools):
            raise InputError(
                f"{name}: nobody has two pictures ({who or 'it names no persons'}); this stage needs at least two of "
                "each person"
            )
        if alone:
            logger.warning(
                "%s: %d persons with one picture are left out: %s", name, len(alone), who
            )
    return pools
