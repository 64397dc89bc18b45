"""Whom a model was trained on is written, carried along, and refused."""

import json

import fake_people
import pytest

from dynamicid_jax.config import DataConfig, SourceConfig, TrainConfig
from dynamicid_jax.convert.trained_on import Trained, read_trained, together
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.evaluation.casts import MadeUp, photographed
from dynamicid_jax.evaluation.leaks import check_leaks, leak_words, photo_hash
from dynamicid_jax.training.people import people_of


@pytest.fixture
def people(tmp_path):
    fake_people.write_people(tmp_path / "photos", ("coal", "sky", "sun"), photos=2)
    (tmp_path / "photos" / "sun" / "person.json").write_text('{"consent": "withdrawn"}')
    return photographed(tmp_path / "photos", ("",))


def model(tmp_path, **known):
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "trained_on.json").write_text(json.dumps({"made_up": [], "photos": [], **known}))
    return folder


def said(*check):
    return leak_words(check_leaks(*check))


def test_who_withdrew_consent_is_left_out(people):
    assert people.names == ("coal", "sky")


def test_a_person_of_whom_any_photo_was_trained_on_is_refused(people, tmp_path):
    second = photo_hash(people.photos["sky"][1])
    with pytest.raises(
        InputError, match=r"leak: 1 of 2 people were trained on \(.*trained_on.json\), 'sky'"
    ):
        check_leaks(model(tmp_path, photos=[second]), people, [0, 1])
    assert "nobody was trained on" in said(model(tmp_path, photos=[second]), people, [0])
    kept = check_leaks(model(tmp_path, photos=["0" * 16]), people, [0, 1])
    assert kept == {
        "outcome": "none",
        "people": 2,
        "against": [{"source": "trained_on.json", "made_up": [], "photos": 1}],
    }
    assert leak_words(kept) == (
        "nobody was trained on, of 2 people, checked against trained_on.json: 1 photos"
    )


def test_made_up_people_are_refused_by_their_split(tmp_path):
    assert "made-up people of train; 0 photos" in said(
        model(tmp_path, made_up=["train"]), MadeUp(()), range(5)
    )
    with pytest.raises(InputError, match="trained on the world's split 'eval'"):
        check_leaks(model(tmp_path, made_up=["eval", "train"]), MadeUp(()), range(5))


def test_a_model_that_does_not_say_is_noted(people, tmp_path):
    (tmp_path / "silent").mkdir()
    assert "not possible" in said(tmp_path / "silent", people, [0, 1])
    assert check_leaks(tmp_path / "silent", people, [0, 1])["outcome"] == "unknown"
    assert "not done" in leak_words(None)
    (tmp_path / "silent" / "trained_on.json").write_text('{"people": []}')
    with pytest.raises(WeightsError, match="unknown key 'people'"):
        check_leaks(tmp_path / "silent", people, [0, 1])


def test_a_recipe_adds_its_people_to_its_bases(tmp_path):
    base = model(tmp_path, photos=["a" * 16], made_up=["judge"])
    data = DataConfig(sources=(SourceConfig("world/scenes"),))
    found = people_of(TrainConfig(stage="base", base=str(base), data=data))
    assert found == Trained(("judge", "train"), ("a" * 16,))
    assert people_of(TrainConfig(stage="base", random_base="nano")) == Trained()
    assert together([found, Trained(photos=("b" * 16,))]).photos == ("a" * 16, "b" * 16)
    assert read_trained(base) == Trained(("judge",), ("a" * 16,))
