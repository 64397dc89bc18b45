"""Drawn batches: the same pictures wherever and however they are drawn, and people who stay apart."""

import numpy as np
import pytest

from dynamicid_jax.config import SourceConfig
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.world import HELDOUT_FIRST, WorldLoader
from dynamicid_jax.errors import InputError

PAIRS = BatchSpec(("aligned", "person"), 8, targets=1)
PEOPLE = 6


def _loader(source, spec=PAIRS, **more):
    options = {"batch_size": 4, "seed": 3} | more
    return WorldLoader(source, spec, **options)


def _take(loader, count):
    with_end = [next(loader) for _ in range(count)]
    loader.close()
    return with_end


@pytest.fixture(scope="module")
def kept():
    return SourceConfig("world/portraits", people=PEOPLE, pictures=4 * PEOPLE)


@pytest.fixture(scope="module")
def steps(kept):
    return _take(_loader(kept), 4)


def _same(one, other):
    assert one.keys == other.keys
    for name, value in one.batch.items():
        np.testing.assert_array_equal(value, other.batch[name], err_msg=name)


def test_groups_are_different_pictures_of_one_person(steps):
    for step in steps:
        assert step.batch["aligned"].shape == (4, 2, 8, 8, 3)
        assert step.batch["aligned"].dtype == np.uint8
        for key, person in zip(step.keys, step.batch["person"], strict=True):
            first, second = (int(name.split("/")[1]) for name in key.split())
            assert first != second
            assert first % PEOPLE == second % PEOPLE == person


def test_an_epoch_has_everybody_once(steps):
    drawn = [int(p) for step in steps[:3] for p in step.batch["person"]]
    assert sorted(drawn[:PEOPLE]) == sorted(drawn[PEOPLE:]) == list(range(PEOPLE))
    assert steps[2].epoch == pytest.approx(2.0)


def test_it_goes_on_where_it_was(kept, steps):
    loader = _loader(kept)
    loader.restore({"position": 2, "batch_size": 4, "seed": 3, "drawn": 0, "damaged": []})
    _same(_take(loader, 1)[0], steps[2])
    with pytest.raises(InputError, match="seed"):
        loader.restore({"position": 2, "batch_size": 4, "seed": 4, "drawn": 0, "damaged": []})


def test_two_hosts_draw_what_one_draws(kept, steps):
    for i in (0, 1):  # of a batch of 8, each draws the 4 rows that batches of 4 have in turn
        host = _loader(kept, batch_size=8, process_index=i, process_count=2)
        _same(_take(host, 1)[0], steps[i])


def test_held_out_people_and_those_of_other_splits_never_train(kept):
    single = BatchSpec(("person",), 8)  # nothing is drawn
    held = _take(_loader(kept, single, heldout=True), 1)[0]
    assert (np.asarray(held.batch["person"]) >= HELDOUT_FIRST).all()
    judge = SourceConfig("world/portraits", split="judge", people=PEOPLE, pictures=4 * PEOPLE)
    other = _take(_loader(judge, single), 1)[0]
    assert (np.asarray(other.batch["person"]) >= 2**28).all()


@pytest.mark.parametrize(
    ("source", "spec", "words"),
    [
        (SourceConfig("world/scenes"), PAIRS, "groups need 2"),
        (SourceConfig("world/portraits", people=6, pictures=6), PAIRS, "raise data.sources"),
        (SourceConfig("world/portraits"), BatchSpec(("moments",), 8), "does not draw moments"),
        (SourceConfig("world/portraits", split="none"), PAIRS, "split 'none'"),
    ],
)
def test_what_cannot_be_drawn_is_named(source, spec, words):
    with pytest.raises(InputError, match=words):
        _loader(source, spec)


def test_held_out_batches_have_no_twins_which_only_training_reads():
    spec = BatchSpec(("pixels", "twin_pixels"), 8)
    loader = _loader(SourceConfig("world/portraits"), spec, heldout=True)
    assert set(_take(loader, 1)[0].batch) == {"pixels", "person"}
