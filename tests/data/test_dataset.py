"""The dataset on disk: what goes in comes out, whole or not at all, and nothing else is accepted."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from fake_bucket import fake_bucket
from fake_dataset import INFO, fake_record, fake_records

from dynamicid_jax.data import builder
from dynamicid_jax.data.dataset import open_dataset, write_dataset
from dynamicid_jax.errors import DamagedRecordError, InputError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset") / "faces"
    splits = {"train": fake_records(6, 5), "validation": fake_records(2, 3, first=6), "test": []}
    write_dataset(out, splits, INFO, shards=2)
    return out


def same(one, two):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        np.testing.assert_array_equal(a, b, err_msg=field.name)
        assert type(a) is type(b) or np.shape(a) == (), field.name


def test_every_field_of_every_record_comes_back_in_order(dataset):
    opened = open_dataset(dataset)
    train = opened.split("train")
    wanted = list(fake_records(6, 5))
    assert len(train) == len(wanted) == 30
    for position, record in enumerate(wanted):
        same(train[position], record)
    assert opened.info.splits == {"train": 30, "validation": 6}
    assert opened.info.persons == {"train": 6, "validation": 2}
    names = {entry.name for entry in dataset.iterdir()}
    assert names == {"dataset.json", "index.json", "face_pictures"}


def test_grouping_by_person_reads_no_picture(dataset, tmp_path):
    import shutil

    shutil.copytree(dataset, tmp_path / "copy")
    for file in (tmp_path / "copy").rglob("*.array_record*"):
        file.unlink()
    opened = open_dataset(tmp_path / "copy")
    assert opened.persons("train") == [f"person{n}" for n in range(6) for _ in range(5)]
    with pytest.raises(DamagedRecordError, match="person0/0"):
        opened.split("train")[0]


def test_no_tensorflow_is_needed(dataset):
    program = f"""if True:
        import sys
        from dynamicid_jax.data.dataset import open_dataset
        assert open_dataset({str(dataset)!r}).split("train")[3].key == "person0/3"
        assert "tensorflow" not in sys.modules and "jax" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"train": []}, "no pictures"),
        ({"train": fake_records(1, 2), "test": fake_records(1, 1)}, "key of its own"),
        (
            {"train": fake_records(2, 2), "test": [fake_record("person1", 9)]},
            "person1: is in the splits 'train' and 'test'",
        ),
        ({"train": [fake_record("p", 0, embedding=np.ones(3, np.float32))]}, "has 3 values"),
    ],
)
def test_what_does_not_fit_leaves_nothing_behind(records, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write_dataset(tmp_path / "out", records, INFO)
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_person_may_be_parted_on_request(tmp_path):
    info = dataclasses.replace(INFO, split_by="picture")
    records = {"train": fake_records(2, 2), "test": [fake_record("person1", 9)]}
    assert write_dataset(tmp_path / "out", records, info).persons == {"train": 2, "test": 1}


def test_an_error_among_the_records_is_passed_on_and_a_second_try_succeeds(tmp_path):
    def broken():
        yield fake_record("person", 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", {"train": broken()}, INFO)
    assert not (tmp_path / "out").exists()
    write_dataset(tmp_path / "out", {"train": fake_records(1, 1)}, INFO)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_an_existing_folder_is_not_overwritten(dataset, tmp_path):
    with pytest.raises(InputError, match="already there"):
        write_dataset(dataset, {"train": fake_records(1, 1)}, INFO)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is no dataset"):
        write_dataset(tmp_path, {"train": fake_records(1, 1)}, INFO, overwrite=True)


def test_datasets_that_are_not_ours_are_refused_in_one_line(dataset, tmp_path):
    import shutil

    with pytest.raises(InputError, match="dynamicid prepare"):
        open_dataset(tmp_path / "nothing")
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    values = json.loads((copy / "dataset.json").read_text())
    for change, message in [
        ({"version": "0.9.0"}, "version 0.9.0; this program reads 1.0.0"),
        ({"landmark_set": "many"}, "landmark_set"),
        ({"splits": {"train": 31, "validation": 6}}, "disagree"),
    ]:
        (copy / "dataset.json").write_text(json.dumps(values | change))
        with pytest.raises(InputError, match=message) as caught:
            open_dataset(copy)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no split 'tests'; it has train, validation"):
        open_dataset(dataset).split("tests")


def test_a_flipped_byte_is_found_and_the_other_records_stay_readable(dataset, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    (file,) = copy.rglob("*train.array_record-00000*")
    data = bytearray(file.read_bytes())
    picture = open_dataset(dataset).split("train")[4].picture
    place = bytes(data).find(picture[100:400])
    train = open_dataset(copy).split("train")
    if place < 0:
        place = len(data) // 3
    data[place] ^= 1
    file.write_bytes(data)
    damaged = []
    for position in range(len(train)):
        try:
            train[position]
        except DamagedRecordError:
            damaged.append(position)
    assert len(damaged) == 1
    with pytest.raises(DamagedRecordError):
        train[damaged[0]]


@pytest.fixture
def cloud(monkeypatch):
    """gs:// paths lead to memory."""
    with fake_bucket(monkeypatch) as bucket:
        yield bucket


def test_a_dataset_on_another_path_scheme_is_copied_once_per_host(cloud):
    out = "gs://bucket/some/faces"
    write_dataset(out, {"train": fake_records(2, 3)}, INFO)
    same(open_dataset(out).split("train")[4], fake_record("person1", 1))
    shards = [name for name in cloud.store if "array_record" in name]
    for name in shards:
        del cloud.store[name]
    assert open_dataset(out).split("train")[0].key == "person0/0"
    write_dataset(out, {"train": fake_records(1, 1, first=9)}, INFO, overwrite=True)
    assert open_dataset(out).split("train")[0].key == "person9/0"
    with pytest.raises(InputError, match="already there"):
        write_dataset(out, {"train": fake_records(1, 1)}, INFO)


def test_an_upload_that_broke_off_is_no_dataset(cloud):
    out = "gs://bucket/broken"
    write_dataset(out, {"train": fake_records(1, 1)}, INFO)
    del cloud.store["/bucket/broken/dataset.json"]
    with pytest.raises(InputError, match="no dataset"):
        open_dataset(out)
    write_dataset(out, {"train": fake_records(1, 1)}, INFO)
    assert len(open_dataset(out).split("train")) == 1


def test_an_unknown_scheme_is_refused_in_one_line():
    with pytest.raises(InputError, match="unknown scheme"):
        open_dataset("ftp://somewhere/faces")


def test_a_fault_that_passes_is_not_damage(dataset, monkeypatch):
    """A run that took one for damage would draw other examples than the same run elsewhere."""
    train = open_dataset(dataset).split("train")
    expected = train[3].key
    real, faults = builder.from_example, iter([OSError("busy")])

    def unsteady(example):
        for fault in faults:
            raise fault
        return real(example)

    monkeypatch.setattr(builder, "from_example", unsteady)
    assert train[3].key == expected
    assert next(faults, None) is None  # it did fail once
