"""The stream of batches depends on the seed and the position alone; damage is replaced, counted and limited."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_dataset import INFO, FakeTokenizer, fake_record, fake_records

from dynamicid_jax.config import DataConfig, SourceConfig
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.dataset import open_dataset, write_dataset
from dynamicid_jax.data.loader import make_loader
from dynamicid_jax.errors import DamagedRecordError, InputError

ALL = (
    *("pixels", "text_ids", "reference", "id_embedding"),
    *("face_box", "raster", "face_text_ids", "person"),
)
SINGLES = BatchSpec(ALL, image_size=16, reference_size=14, landmark_set=5)
GROUPS = BatchSpec(("pixels", "person"), image_size=16, targets=3)
LIGHT = BatchSpec(("face_box", "person"), image_size=16)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("loader") / "faces"
    splits = {"train": fake_records(8, 5), "validation": fake_records(2, 5, first=8)}
    write_dataset(out, splits, INFO, shards=2)
    return out


def config_of(*paths, workers=0, weights=(), **options):
    weights = weights or [1.0] * len(paths)
    sources = tuple(
        SourceConfig(str(path), weight) for path, weight in zip(paths, weights, strict=True)
    )
    return DataConfig(sources, workers=workers, prefetch=2, **options)


def loader_of(config, spec=SINGLES, batch_size=4, seed=3, **options):
    return make_loader(
        config, spec, batch_size=batch_size, seed=seed, tokenizer=FakeTokenizer(), **options
    )


def take(loader, count):
    steps = [next(loader) for _ in range(count)]
    loader.close()
    return steps


def assert_same(steps, others):
    assert len(steps) == len(others)
    for one, two in zip(steps, others, strict=True):
        assert one.keys == two.keys
        assert one.batch.keys() == two.batch.keys()
        for name in one.batch:
            np.testing.assert_array_equal(one.batch[name], two.batch[name])


class Broken:
    """A source whose records of some numbers are damaged."""

    def __init__(self, records, damaged, info=INFO):
        from dynamicid_jax.data.index import Index

        self.records, self.damaged, self.info = list(records), set(damaged), info
        keys = [record.key for record in self.records]
        persons = [record.person for record in self.records]
        cells = np.array([record.studio_cell for record in self.records])
        self.index = Index(keys, persons, cells)

    def __len__(self):
        return len(self.records)

    def __getitem__(self, position):
        if position in self.damaged:
            raise DamagedRecordError(f"record {self.index.keys[position]}: broken")
        return self.records[position]


def test_a_batch_holds_what_the_table_says(dataset):
    (step,) = take(loader_of(config_of(dataset)), 1)
    shapes = {name: (value.dtype.name, value.shape) for name, value in step.batch.items()}
    assert shapes == {
        "pixels": ("uint8", (4, 16, 16, 3)),
        "text_ids": ("int32", (4, 7)),
        "reference": ("uint8", (4, 14, 14, 3)),
        "id_embedding": ("float32", (4, 8)),
        "face_box": ("float32", (4, 4)),
        "raster": ("int8", (4, 96, 96)),
        "face_text_ids": ("int32", (4, 7)),
        "person": ("int32", (4,)),
    }
    for row, key in enumerate(step.keys):
        person, number = key.split("/")
        record = fake_record(person, int(number))
        np.testing.assert_array_equal(step.batch["id_embedding"][row], record.embedding)
        bits = np.packbits(step.batch["raster"][row].reshape(-1) > 0)
        np.testing.assert_array_equal(bits, record.raster)
        assert set(np.unique(step.batch["raster"])) == {-1, 1}
        assert step.batch["person"][row] == int(person.removeprefix("person"))


@pytest.mark.parametrize("spec", [SINGLES, GROUPS], ids=["singles", "groups"])
def test_any_number_of_hosts_reads_the_same_global_batches(dataset, spec):
    alone = take(loader_of(config_of(dataset), spec), 6)
    hosts = [
        take(loader_of(config_of(dataset), spec, process_index=i, process_count=2), 6)
        for i in range(2)
    ]
    for whole, *parts in zip(alone, *hosts, strict=True):
        assert whole.keys == [key for part in parts for key in part.keys]
        for name, value in whole.batch.items():
            joined = np.concatenate([part.batch[name] for part in parts])
            np.testing.assert_array_equal(value, joined)


def test_a_restored_loader_goes_on_bit_for_bit(dataset):
    loader = loader_of(config_of(dataset), GROUPS)
    everything = [next(loader) for _ in range(8)]
    for position in (0, 1, 5):
        other = loader_of(config_of(dataset), GROUPS)
        take(other, position)
        state = json.loads(json.dumps(other.state()))
        assert state["position"] == position
        fresh = loader_of(config_of(dataset), GROUPS)
        fresh.restore(state)
        assert_same(take(fresh, 8 - position), everything[position:])
    loader.restore(state)
    assert_same(take(loader, 3), everything[5:])


def test_worker_processes_change_nothing(dataset):
    wanted = take(loader_of(config_of(dataset)), 7)
    assert_same(take(loader_of(config_of(dataset, workers=2)), 4), wanted[:4])
    loader = loader_of(config_of(dataset, workers=2))
    loader.restore(loader.state() | {"position": 4})
    assert_same(take(loader, 3), wanted[4:])


def test_workers_do_not_listen_to_signals_that_are_meant_for_the_training_process(dataset):
    wanted = take(loader_of(config_of(dataset)), 9)
    loader = loader_of(config_of(dataset, workers=1))
    steps = [next(loader)]
    (worker,) = multiprocessing.active_children()
    for stop in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid, stop)
    assert_same(steps + take(loader, 8), wanted)
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_one_clear_line(dataset):
    loader = loader_of(config_of(dataset, workers=1))
    next(loader)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(InputError, match=r"data\.workers: a reading process ended"):
        take(loader, 9)


@pytest.mark.slow
def test_workers_end_with_a_training_process_that_is_killed(dataset):
    program = f"""if True:
        import multiprocessing, os, signal
        from dynamicid_jax.config import DataConfig, SourceConfig
        from dynamicid_jax.data.batch import BatchSpec
        from dynamicid_jax.data.loader import make_loader
        config = DataConfig((SourceConfig({str(dataset)!r}),), workers=2)
        loader = make_loader(config, BatchSpec(("pixels",), 16), batch_size=4, seed=0)
        next(loader)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    workers = [Path(f"/proc/{number}") for number in run.stdout.split()]
    assert len(workers) == 2, run.stderr
    deadline = time.monotonic() + 30
    while any(worker.exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_every_epoch_takes_everything_once_in_another_order(dataset):
    steps = take(loader_of(config_of(dataset), LIGHT, batch_size=8), 15)
    epochs = [[key for step in steps[i : i + 5] for key in step.keys] for i in (0, 5, 10)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert all(len(set(epoch)) == 40 for epoch in epochs)
    assert [steps[i].epoch for i in (0, 4, 14)] == [0.2, 1.0, 3.0]
    other = take(loader_of(config_of(dataset), LIGHT, batch_size=8, seed=4), 5)
    assert [key for step in other for key in step.keys] != epochs[0]


def test_sources_are_mixed_by_weight(dataset, tmp_path):
    other = tmp_path / "other"
    write_dataset(other, {"train": fake_records(3, 4, first=90)}, INFO)
    config = config_of(dataset, other, weights=(3.0, 1.0))
    steps = take(loader_of(config, LIGHT, batch_size=10), 40)
    numbers = [key for step in steps for key in step.keys]
    second = np.array([key.startswith("person9") for key in numbers])
    assert abs(second.sum() - 100) <= 2
    assert all(40 <= part.sum() <= 60 for part in second.reshape(2, 200))  # not one after the other
    assert {key.split("/")[0] for key in np.array(numbers)[second]} == {
        "person90",
        "person91",
        "person92",
    }


def test_a_group_is_one_person_and_its_source_is_no_target(dataset):
    spec = BatchSpec(("pixels", "person"), image_size=16, targets=4)
    steps = take(loader_of(config_of(dataset), spec, batch_size=8), 3)
    for step in steps:
        assert step.batch["pixels"].shape == (8, 5, 16, 16, 3)
        assert step.batch["person"].shape == (8,)
        assert sorted(step.batch["person"]) == list(range(8))  # an epoch is every person once
        for row, keys in zip(step.batch["person"], step.keys, strict=True):
            assert {key.split("/")[0] for key in keys.split()} == {f"person{row}"}
            assert len(set(keys.split())) == 5
    sources = {(keys.split()[0]) for step in steps for keys in step.keys}
    assert len(sources) > 8


def test_few_pictures_are_repeated_as_targets_but_never_the_source(dataset):
    spec = BatchSpec(("pixels", "person"), image_size=16, targets=9)
    (step,) = take(loader_of(config_of(dataset), spec, batch_size=8), 1)
    for keys in step.keys:
        source, *targets = keys.split()
        assert source not in targets
        assert sorted(targets.count(key) for key in set(targets)) == [2, 2, 2, 3]


def test_a_person_with_one_picture_is_left_out_of_groups(tmp_path, caplog):
    records = [*fake_records(2, 3), fake_record("single", 0)]
    write_dataset(tmp_path / "some", {"train": records}, INFO)
    with caplog.at_level(logging.WARNING, "dynamicid_jax"):
        steps = take(loader_of(config_of(tmp_path / "some"), GROUPS), 5)
    assert "single" in caplog.text
    assert not any("single" in key for step in steps for key in step.keys)
    write_dataset(tmp_path / "all", {"train": fake_records(3, 1)}, INFO)
    with pytest.raises(InputError, match="nobody has two pictures \\(person0, person1, person2\\)"):
        loader_of(config_of(tmp_path / "all"), GROUPS)


def test_studio_persons_are_a_twentieth_and_their_targets_are_other_cells():
    studio = [fake_record("studio", number, studio_cell=number % 35) for number in range(40)]
    source = Broken([*fake_records(3, 3), *studio], ())
    spec = BatchSpec(("face_box", "person"), image_size=16, targets=34)
    steps = take(loader_of(config_of("memory"), spec, batch_size=20, sources=[source]), 20)
    rows = [keys for step in steps for keys in step.keys]
    grids = [keys for keys in rows if "studio" in keys]
    assert len(grids) == 20
    for keys in grids:
        cells = [int(key.split("/")[1]) % 35 for key in keys.split()]
        assert sorted(cells) == list(range(35))


def test_the_held_out_split_is_gone_through_once_in_order(dataset):
    options = {"split": "validation", "repeat": False, "spec": LIGHT}
    steps = list(loader_of(config_of(dataset), **options))
    keys = [key for step in steps for key in step.keys]
    order = [f"person{person}/{number}" for person in (8, 9) for number in range(5)]
    assert keys == order + order[:2]  # the last batch is filled up from the start
    assert_same(list(loader_of(config_of(dataset), **options)), steps)


def test_a_damaged_record_is_replaced_counted_and_named_once(caplog):
    records = list(fake_records(20, 10))
    source, whole = Broken(records, {17}), Broken(records, ())
    loader = loader_of(config_of("memory"), LIGHT, batch_size=20, sources=[source])
    with caplog.at_level(logging.WARNING, "dynamicid_jax"):
        steps = take(loader, 30)
    assert caplog.text.count("person1/7") == 1
    assert loader.damaged == ["person1/7"]
    assert loader.state()["damaged"] == ["person1/7"]
    keys = [key for step in steps for key in step.keys]
    intact = take(loader_of(config_of("memory"), LIGHT, batch_size=20, sources=[whole]), 30)
    wanted = [key for step in intact for key in step.keys]
    differ = [(a, b) for a, b in zip(keys, wanted, strict=True) if a != b]
    assert len(differ) == 3
    assert {b for _, b in differ} == {"person1/7"}
    again = loader_of(config_of("memory"), LIGHT, batch_size=20, sources=[source])
    assert_same(take(again, 30), steps)


def test_a_damaged_picture_of_a_group_is_replaced_by_another_of_the_person():
    source = Broken(fake_records(20, 5), {3})
    loader = loader_of(config_of("memory"), GROUPS, batch_size=20, sources=[source])
    for step in take(loader, 4):
        assert sorted(step.batch["person"]) == list(range(20))
        assert not any("person0/3" in keys.split() for keys in step.keys)


def test_many_damaged_records_stop_the_run_with_a_list():
    source = Broken(fake_records(20, 10), range(0, 200, 20))
    loader = loader_of(config_of("memory"), LIGHT, batch_size=20, sources=[source])
    with pytest.raises(
        InputError, match=r"damaged records .* data.max_damaged=0.01 allows: person"
    ) as error:
        take(loader, 30)
    assert "\n" not in str(error.value)
    allowed = config_of("memory", max_damaged=0.1)
    take(loader_of(allowed, LIGHT, batch_size=20, sources=[source]), 30)


def test_nothing_readable_is_an_error_not_an_endless_search():
    source = Broken(fake_records(4, 5), range(20))
    with pytest.raises(InputError, match="damaged"):
        take(loader_of(config_of("memory"), LIGHT, sources=[source]), 1)


def test_the_worker_of_a_damaged_dataset_reports_too(dataset, tmp_path, caplog):
    import shutil

    shutil.copytree(dataset, tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("*train.array_record-00000*")
    file.write_bytes(file.read_bytes()[:20_000])  # cut short: all its records are lost
    with pytest.raises(InputError, match="damaged records"):
        take(loader_of(config_of(tmp_path / "copy", workers=1)), 5)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (SINGLES, {"batch_size": 5, "process_count": 2}, "5 examples do not divide among 2"),
        (BatchSpec(("raster",), 16, landmark_set=106), {}, "hold 5 landmarks, the model's 106"),
        (LIGHT, {"split": "trian"}, "no split 'trian'"),
    ],
)
def test_what_cannot_be_loaded_is_refused(dataset, spec, options, message):
    with pytest.raises(InputError, match=message):
        loader_of(config_of(dataset), spec, **options)


def test_sources_of_other_conventions_do_not_mix(dataset, tmp_path):
    import dataclasses

    info = dataclasses.replace(INFO, id_channels="rgb")
    write_dataset(tmp_path / "rgb", {"train": fake_records(1, 2)}, info)
    with pytest.raises(InputError, match="id_channels differ"):
        loader_of(config_of(dataset, tmp_path / "rgb"))
    faceless = dataclasses.replace(INFO, embedding_width=0, landmark_set=0)
    records = [
        fake_record("", n, embedding=np.zeros(0, np.float32), key=f"c/{n}") for n in range(3)
    ]
    write_dataset(tmp_path / "captions", {"train": records}, faceless)
    with pytest.raises(InputError, match="have no faces; this stage needs id_embedding"):
        loader_of(config_of(tmp_path / "captions"), BatchSpec(("id_embedding",), 16))
    spec = BatchSpec(("pixels", "text_ids", "person"), 16)
    (step,) = take(loader_of(config_of(tmp_path / "captions"), spec), 1)
    assert set(step.batch["person"]) == {-1}


def test_other_seeds_and_batch_sizes_do_not_resume_silently(dataset):
    loader = loader_of(config_of(dataset), LIGHT)
    with pytest.raises(InputError, match="seed 4, not 3"):
        loader.restore({"seed": 4, "position": 1, "batch_size": 4, "drawn": 0, "damaged": []})
    with pytest.raises(InputError, match="cannot go on after 3 batches of 2"):
        loader.restore({"seed": 3, "position": 3, "batch_size": 2, "drawn": 0, "damaged": []})


def test_the_sources_of_a_dataset_know_their_persons_without_reading(dataset):
    opened = open_dataset(dataset)
    assert opened.split("train").index.persons == opened.persons("train")
