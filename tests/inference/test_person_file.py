"""A reusable person in one file: round trip, expiry, consent, forgetting, and silence about what is biometric."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import fake_face_pack as fake
import fake_generator
import golden_io as golden
import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.cli.main import main
from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.inference import person_file
from dynamicid_jax.inference.person_file import describe_person, forget_person, load_person, today

CONSENT = "signed release no. 17"


@pytest.fixture(scope="module")
def pipe(tmp_path_factory) -> DynamicIDPipeline:
    pack = fake.write_pack(tmp_path_factory.mktemp("packs") / "a")
    return DynamicIDPipeline.from_pretrained(golden.checkpoint, face_pack=pack)


@pytest.fixture(scope="module")
def alice(pipe):
    return pipe.person(fake.photo(("large", 10, 10)), consent=CONSENT)


@pytest.fixture
def saved(pipe, alice, tmp_path) -> Path:
    return pipe.save_person(alice, tmp_path / "alice.person", expires="90d", consent=CONSENT)


def tokens(person) -> np.ndarray:
    return np.stack([np.asarray(one, np.float32) for one, _ in person.members])


def test_round_trip_with_a_place(pipe, alice, saved) -> None:
    box = (0.1, 0.1, 0.5, 0.9)
    again = pipe.person(saved, box=box)
    assert (tokens(again) == tokens(alice)).all()
    assert again.box == box
    assert again.recipe["consent"] == CONSENT
    assert again.recipe["box"] == list(box)
    assert again.recipe["references"] != alice.recipe["references"]  # salted for this file alone


def test_a_mix_keeps_its_weights(pipe, alice, tmp_path) -> None:
    bob = pipe.person(fake.photo(("large", 5, 4)))
    mix = pipe.mix([(alice, 3), (bob, 1)])
    path = pipe.save_person(mix, tmp_path / "mix.person", expires="1d", consent="a note for both")
    again = pipe.person(path)
    assert [weight for _, weight in again.members] == [0.75, 0.25]
    assert [part["consent"] for part in again.recipe["mix"]] == [CONSENT, "a note for both"]
    assert (tokens(again) == tokens(mix)).all()


def test_only_its_owner_may_read_it(saved) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_an_expired_file_is_refused_and_can_be_forgotten(pipe, saved, monkeypatch) -> None:
    later = today() + timedelta(days=91)
    monkeypatch.setattr(person_file, "today", lambda: later)
    with pytest.raises(InputError, match=r"expired on .* dynamicid person --forget"):
        pipe.person(saved)
    assert describe_person(saved)["expired"]
    assert forget_person(saved) == [saved]
    assert not saved.exists()


@pytest.mark.parametrize("when", ["", "soon", "-3d", "2020-01-01", "2030-13-01", "999999d"])
def test_days_that_are_none_or_past(pipe, alice, tmp_path, when) -> None:
    with pytest.raises(InputError, match="expires: "):
        pipe.save_person(alice, tmp_path / "a.person", expires=when, consent=CONSENT)
    assert not list(tmp_path.iterdir())


def test_it_needs_consent_and_its_own_ending(pipe, alice, tmp_path) -> None:
    with pytest.raises(InputError, match="consent: "):
        pipe.save_person(alice, tmp_path / "a.person", expires="1d", consent=" ")
    with pytest.raises(InputError, match=r"ends in \.person"):
        pipe.save_person(alice, tmp_path / "a.bin", expires="1d", consent=CONSENT)
    with pytest.raises(OutputError):
        pipe.save_person(alice, tmp_path / "no" / "a.person", expires="1d", consent=CONSENT)


def test_another_models_file_is_refused(saved) -> None:
    with pytest.raises(InputError, match="another model's face projection"):
        load_person(saved, space="0" * 16)


def test_the_token_space_is_the_same_at_every_precision(pipe) -> None:
    half = DynamicIDPipeline.from_pretrained(golden.checkpoint, dtype="bfloat16")
    assert half._token_space() == pipe._token_space()


def test_forgetting_deletes_leftovers_and_nothing_else(saved, tmp_path) -> None:
    left = tmp_path / ".alice.person.k3j2"
    left.write_bytes(b"half written")
    (tmp_path / "alice.png").write_bytes(b"a picture")
    (tmp_path / ".bob.person.k3j2").write_bytes(b"another's")
    assert sorted(forget_person(saved)) == sorted([saved, left])
    assert sorted(one.name for one in tmp_path.iterdir()) == [".bob.person.k3j2", "alice.png"]


def test_only_person_files_are_forgotten(tmp_path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("dear diary")
    with pytest.raises(InputError, match="not a person file"):
        forget_person(other)
    assert other.exists()


def test_photo_arguments_do_not_go_with_a_file(pipe, saved) -> None:
    for wrong in ({"face": "happy"}, {"which": 0}, {"source_face": "sad"}, {"consent": "yes"}):
        with pytest.raises(InputError, match=r"alice\.person"):
            pipe.person(saved, **wrong)
    with pytest.raises(InputError, match="stands alone"):
        pipe.person([saved, saved])


def test_nothing_that_is_shown_or_logged_holds_the_numbers(pipe, alice, saved) -> None:
    embedding = alice.quality[0].record.embedding
    numbers = [*tokens(alice).ravel()[:50], *embedding[:50]]
    told = f"{alice!r} {alice.quality!r} {json.dumps(describe_person(saved))}"
    for number in numbers:
        for text in (repr(float(number)), f"{number:.8f}", f"{number:.5g}"):
            assert text not in told or len(text.strip("-0.")) < 3


def test_drawing_from_a_file_caches_nothing_of_it(pipe, alice, saved, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("DYNAMICID_CACHE", str(cache))
    out = pipe("a picture", [pipe.person(saved)], height=64, width=64, steps=1)
    out.images[0].save(tmp_path / "out.png")
    first = tokens(alice).ravel()[:4].tobytes()
    assert first in saved.read_bytes()
    others = [one for one in tmp_path.rglob("*") if one.is_file() and one != saved]
    assert all(first not in one.read_bytes() for one in others)


def test_the_command_writes_shows_and_forgets(tmp_path, capsys, pipe, monkeypatch) -> None:
    from PIL import Image

    fake_generator.install(monkeypatch)
    photo, out = tmp_path / "alice.png", tmp_path / "alice.person"
    Image.fromarray(fake.photo(("large", 10, 10))).save(photo)
    networks = ["--model", str(golden.checkpoint), "--face_pack", str(pipe.face_pack.folder)]
    make = ["person", *networks, "--photos", str(photo), "--expires", "30d"]
    assert main([*make, "--out", str(out)]) == 2
    assert "--consent: needed with --out" in capsys.readouterr().err
    assert main([*make, "--consent", CONSENT, "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    picture = tmp_path / "out.png"
    draw = ["sample", *networks[:2], "--person", str(out), "--prompt", "x", "--size", "64"]
    assert main([*draw, "--steps", "1", "--out", str(picture)]) == 0
    capsys.readouterr()
    assert main(["person", "--show", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["consent"] == CONSENT
    assert main(["person", "--forget", str(out)]) == 0
    assert not out.exists()
    assert main([*draw, "--out", str(picture)]) == 2
    assert "no such file" in capsys.readouterr().err
