"""Which face belongs to the person, on made-up identities: unit vectors with noise around a direction per person."""

import numpy as np
import pytest

from dynamicid_jax.data.prepare.choose import Candidates, choose_faces

WIDTH = 128


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class World:
    """People of random directions; `face(p)` is a new face of p, cosine about `likeness` with its direction."""

    def __init__(self, people, seed=0, likeness=0.85):
        self.random = np.random.default_rng(seed)
        self.directions = unit(self.random.normal(size=(people, WIDTH)))
        self.likeness = likeness

    def face(self, person):
        noise = unit(self.random.normal(size=WIDTH))
        mixed = self.likeness * self.directions[person]
        return unit(mixed + np.sqrt(1 - self.likeness**2) * noise).astype(np.float32)

    def photo(self, key, *people, areas=None):
        faces = np.stack([self.face(person) for person in people])
        return Candidates(key, faces, np.array(areas or [100.0] * len(people)))

    def folders(self, people, photos):
        return {
            f"p{person}": [self.photo(f"p{person}/{k}", person) for k in range(photos)]
            for person in range(people)
        }


def rejected(chosen):
    return {key for key, choice in chosen.by_key.items() if choice.text}


@pytest.mark.parametrize("photos", [1, 2, 5, 10])
@pytest.mark.parametrize("people", [1, 2, 12])
def test_nobody_of_a_clean_folder_is_rejected(people, photos):
    chosen = choose_faces(World(people).folders(people, photos))
    assert len(chosen.by_key) == people * photos
    assert rejected(chosen) == set()
    assert chosen.same == []


@pytest.mark.parametrize("seed", range(5))
def test_photos_of_others_are_found_whether_their_folder_is_there_or_not(seed):
    world = World(20, seed)
    folders = world.folders(10, 6)
    intruders = set()
    for place, name in enumerate(folders):
        other = (place + 1) % 10 if place % 2 else 10 + place
        folders[name].insert(place % 6, world.photo(f"{name}/intruder", other))
        intruders.add(f"{name}/intruder")
    chosen = choose_faces(folders)
    assert rejected(chosen) == intruders
    for place, name in enumerate(folders):
        expected = f"p{(place + 1) % 10}" if place % 2 else ""
        assert chosen.by_key[f"{name}/intruder"].looks_like == expected


def test_in_group_photos_the_persons_own_face_is_taken_even_where_it_is_the_smallest():
    world = World(30)
    folders = world.folders(4, 3)
    places = {}
    for person in range(4):
        for k in range(4):
            crowd = [4 + 6 * person + k, person, 5 + 6 * person + k]
            order = world.random.permutation(3)
            key = f"p{person}/group{k}"
            areas = [400.0 if crowd[place] != person else 50.0 for place in order]
            folders[f"p{person}"].append(
                world.photo(key, *[crowd[place] for place in order], areas=areas)
            )
            places[key] = list(order).index(1)
    chosen = choose_faces(folders)
    assert rejected(chosen) == set()
    assert {key: chosen.by_key[key].face for key in places} == places


def test_two_people_always_seen_together_are_told_apart_by_size():
    world = World(2)
    photos = [world.photo(f"a/{k}", 0, 1, areas=[50.0, 200.0]) for k in range(6)]
    chosen = choose_faces({"a": photos})
    assert {choice.face for choice in chosen.by_key.values()} == {1}


def test_the_order_of_folders_and_photos_does_not_matter():
    world = World(12, likeness=0.7)
    folders = world.folders(8, 5)
    folders["p0"].append(world.photo("p0/x", 3))
    folders["p1"].append(world.photo("p1/x", 10))
    one = choose_faces(folders)
    other = choose_faces({name: folders[name][::-1] for name in reversed(folders)})
    assert rejected(one) == rejected(other) == {"p0/x", "p1/x"}
    for key, choice in one.by_key.items():
        assert other.by_key[key].agreement == pytest.approx(choice.agreement, abs=1e-6)


def test_two_photos_that_disagree_are_both_rejected_unless_one_is_somebody_elses():
    world = World(9)
    folders = world.folders(6, 4)
    folders["pair"] = [world.photo("pair/1", 7), world.photo("pair/2", 8)]
    folders["half"] = [world.photo("half/1", 6), world.photo("half/2", 0)]
    chosen = choose_faces(folders)
    assert {"pair/1", "pair/2", "half/2"} <= rejected(chosen)
    assert chosen.by_key["half/2"].looks_like == "p0"
    assert "half/1" not in rejected(chosen)
    assert "the two photos" in chosen.by_key["pair/1"].text


def test_one_person_in_two_folders_is_said_and_nobody_is_rejected_for_it():
    world = World(8)
    folders = world.folders(8, 5)
    folders["double"] = [world.photo(f"double/{k}", 2) for k in range(5)]
    chosen = choose_faces(folders)
    assert [set(pair) for pair in chosen.same] == [{"p2", "double"}]
    assert rejected(chosen) == set()


def test_a_given_limit_decides():
    folders = World(6, likeness=0.8).folders(6, 5)
    assert len(rejected(choose_faces(folders, limit=0.99))) == 30
    assert choose_faces(folders, limit=-1.0).limit == -1.0


def test_a_single_photo_is_kept_without_an_agreement():
    chosen = choose_faces({"a": [World(1).photo("a/1", 0)]})
    assert np.isnan(chosen.by_key["a/1"].agreement)
    assert not chosen.by_key["a/1"].text
