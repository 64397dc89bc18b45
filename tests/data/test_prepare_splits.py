"""Splits by hashes: nobody in two, nobody moved by newcomers, the asked-for numbers."""

import numpy as np
import pytest

from dynamicid_jax.data.prepare.splits import by_person, by_picture, unit
from dynamicid_jax.errors import InputError


def album(people, pictures=4):
    return {f"p{person}/{k}": f"p{person}" for person in range(people) for k in range(pictures)}


def held_people(splits, people):
    return {people[key] for key, split in splits.items() if split == "validation"}


@pytest.mark.parametrize("validation", [0.1, 0.3, 3.0])
def test_no_person_is_in_two_splits(validation):
    people = album(60)
    splits = by_person(people, validation, seed=1)
    held = held_people(splits, people)
    assert all((people[key] in held) == (split == "validation") for key, split in splits.items())
    if validation >= 1:
        assert len(held) == validation
    else:
        assert 0 < len(held) < 60 * validation * 2


@pytest.mark.parametrize("split", [by_person, by_picture])
@pytest.mark.parametrize("seed", range(4))
def test_a_new_person_moves_nobody(split, seed):
    before = split(album(40), 0.2, seed)
    after = split(album(41), 0.2, seed)
    assert {key: after[key] for key in before} == before


def test_shares_are_met_in_the_mean_and_depend_on_the_seed():
    numbers = np.array([unit(3, f"person {k}") for k in range(4000)])
    assert abs(numbers.mean() - 0.5) < 0.02
    assert abs((numbers < 0.1).mean() - 0.1) < 0.015
    assert by_person(album(50), 0.3, 0) != by_person(album(50), 0.3, 1)


def test_few_people_still_give_one_to_validation_and_nothing_asked_gives_none():
    for people in range(2, 6):
        album_ = album(people)
        assert len(held_people(by_person(album_, 0.01, 0), album_)) == 1
        assert held_people(by_person(album_, 0.0, 0), album_) == set()
    for seed in range(8):
        assert set(by_person(album(1), 0.5, seed).values()) == {"train"}


def test_pictures_are_held_out_of_every_person_but_two_stay():
    people = album(10, 6) | {"few/0": "few", "few/1": "few", "few/2": "few", "one/0": "one"}
    splits = by_picture(people, 2.0, seed=0)
    held = [people[key] for key, split in splits.items() if split == "validation"]
    assert {name: held.count(name) for name in set(people.values())} == {
        **{f"p{k}": 2 for k in range(10)},
        "few": 1,
        "one": 0,
    }


def test_folders_of_one_person_stay_together():
    people = album(40)
    same = [("p3", "p7"), ("p7", "p21"), ("p5", "p6")]
    for seed in range(10):
        splits = by_person(people, 0.4, seed, same)
        assert len({splits[f"p{k}/0"] for k in (3, 7, 21)}) == 1
        assert splits["p5/0"] == splits["p6/0"]


def test_pictures_of_nobody_in_particular_stand_for_themselves():
    splits = by_person({f"{k}.jpg": "" for k in range(200)}, 0.2, 0)
    assert 20 < list(splits.values()).count("validation") < 60


def test_everybody_held_out_is_an_error():
    with pytest.raises(InputError, match="leave some for training"):
        by_person(album(3), 3.0, 0)
