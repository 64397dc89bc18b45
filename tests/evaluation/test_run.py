"""The command from end to end: a random model, photographs, judges and a suite of one's own."""

import json
import re
import shutil

import fake_face_pack as fake
import fake_people
import pytest
from fake_judges import write_judge

from dynamicid_jax.cli.main import main
from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.leaks import photo_hash
from dynamicid_jax.evaluation.run import Evaluation
from dynamicid_jax.inference.random_model import write_random_model

SUITE = """
[photos]
people = 5
prompts = ["{people} at sea"]

[photos.judges]
detector = { file = "pack/detector.onnx", sha256 = "" }
recogniser = { file = "who.onnx", sha256 = "", input = [3, 112, 112], outputs = 512, crop = "aligned" }
pose = { file = "pose.onnx", sha256 = "", input = [3, 64, 64], outputs = 3, degrees = [1, 1, 1] }

[photos.judges.expression]
file = "motion.onnx"
sha256 = ""
input = [3, 64, 64]
outputs = 7
classes = ["happy", "surprise", "sad", "anger", "disgust", "fear", "neutral"]

[pictures.portrait]
motion = "edit if able"

[claims.portrait]
pictures = ["portrait"]
measures = ["face_sim", "expr", "count_error", "seconds_compiling"]

[rows.portrait_face_sim]
title = "portraits: FaceSim"
least = [nan, 0.5, 0.9]
better = "higher"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fake_people.write_people(folder / "photos", ("coal", "sky"), photos=2)
    fake.write_pack(folder / "judges" / "pack")
    fake.write_recogniser(folder / "judges" / "who.onnx")
    write_judge(folder / "judges" / "motion.onnx", outputs=7)
    write_judge(folder / "judges" / "pose.onnx")
    (folder / "own.toml").write_text(SUITE)
    write_random_model(folder / "nano", "nano")
    return folder


def run(place, out, *more):
    options = ["--suite", str(place / "own.toml"), "--photos", str(place / "photos")]
    options += ["--judges", str(place / "judges"), "--face_pack", str(place / "judges" / "pack")]
    options += ["--model", str(place / "nano"), "--out", str(place / out), "--steps", "2"]
    return main(["evaluate", *options, "--batch", "2", *more])


@pytest.mark.filterwarnings("ignore:prompt")
def test_from_the_command_to_the_report_and_the_comparison(place, capsys):
    assert run(place, "first") == 0
    said = capsys.readouterr()
    assert "note: leak check: not possible" in said.err
    assert "leak check: not possible: the model does not say" in said.out
    assert "nobody is edited" not in said.err  # this IMR reads the pack's five points
    assert "| portraits: FaceSim |" in said.out
    found = json.loads((place / "first" / "results.json").read_text())
    assert found["about"]["people"] == 2
    assert found["leaks"]["model"] == {"outcome": "unknown", "people": 2, "against": []}
    assert found["claims"]["portrait_face_sim"]["goal"] == {
        "least": 0.9,
        "most": None,
        "clear": False,
    }
    assert found["claims"]["portrait_count_error"]["count"] == 2
    before = {
        name: (place / "first" / name).read_bytes() for name in ("results.json", "values.json")
    }
    (place / "first" / "looks.jsonl").unlink()
    assert run(place, "first", "--only", "judge", "--compare", str(place / "first")) == 0
    assert before == {name: (place / "first" / name).read_bytes() for name in before}
    row = json.loads((place / "first" / "comparison.json").read_text())["differences"]
    assert (row["portrait_expr"]["value"], row["portrait_expr"]["real"]) == (0, False)
    page = (place / "first" / "report.html").read_text()
    assert "Compared with" in page
    assert "drawn unchecked" in page
    changed = (place / "own.toml").read_text().replace("at sea", "at home")
    (place / "changed.toml").write_text(changed)
    assert run(place, "first", "--only", "judge", "--suite", str(place / "changed.toml")) == 2
    assert "expected the suite and the people that were drawn" in capsys.readouterr().err
    assert page.count("data:image/jpeg") == 1


def test_people_who_were_trained_on_are_refused_before_anything_is_drawn(place, capsys):
    photo = place / "photos" / "sky" / "1.png"
    known = place / "nano" / "trained_on.json"
    known.write_text(json.dumps({"made_up": [], "photos": [photo_hash(photo)]}))
    try:
        assert run(place, "second") == 2
    finally:
        known.unlink()
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert "leak: 1 of 2 people were trained on" in line
    assert not (place / "second").exists()


PAIR = """
[photos.judges.clip]
image = { file = "image.onnx", sha256 = "" }
text = { file = "image.onnx", sha256 = "" }
tokenizer = "tokenizer"

[pictures.portrait]"""


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ((), ("--compare", "HERE/nowhere"), "nowhere: holds no values.json; judge its pictures"),
        ((), ("--compare", "HERE/other"), "--compare .*other: run is 'single 1', here 'own "),
        ((), ("--compare", "HERE/other", "--only", "sample"), "makes no numbers to compare"),
        ((), ("--without_gate", "HERE/nano"), "--without_gate: no claim of suite own .* 'context'"),
        (("[pictures.portrait]", PAIR), (), "clip image judge .*image.onnx: no such file"),
        ((), ("--out", "HERE/own.toml"), "own.toml: is a file; expected a folder"),
        (
            (),
            ("--out", "HERE/own.toml", "--only", "judges"),
            "own.toml: is a file; expected a fold",
        ),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_drawn(
    place, capsys, tmp_path, monkeypatch, change, options, message
):
    monkeypatch.setattr(Evaluation, "draw", lambda self: pytest.fail("drawn"))
    (place / "other").mkdir(exist_ok=True)
    for name in ("results.json", "values.json"):
        kept = {"about": {"run": "single 1"}, "values": {}, "claims": {}}
        (place / "other" / name).write_text(json.dumps(kept))
    suite = tmp_path / "own.toml"
    text = SUITE.replace('"face_sim", ', '"face_sim", "clip_t", ')
    suite.write_text(text.replace(*change) if change else text)
    given = [one.replace("HERE", str(place)) for one in options]
    assert run(place, tmp_path / "out", "--suite", str(suite), *given) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert re.search(message, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "drawn"), [({"skip": 1}, {1}), ({"skip": 1, "people": 1}, {1}), ({}, {0, 1})]
)
def test_a_folder_s_people_are_counted_after_those_skipped(place, tmp_path, asked, drawn):
    one = Evaluation(
        str(place / "nano"), tmp_path, suite="single", photos=place / "photos", **asked
    )
    assert {shot.number for shot in one.shots()} == drawn
    assert len(one.who) == len(drawn)


@pytest.mark.parametrize(("skip", "message"), [(2, "leaves nobody of 2"), (100_000, "--skip: exp")])
def test_somebody_is_left_after_those_skipped(place, tmp_path, skip, message):
    one = Evaluation(
        str(place / "nano"), tmp_path, suite="single", photos=place / "photos", skip=skip
    )
    with pytest.raises(InputError, match=message):
        one.check(judging=False)


def test_who_stands_beside_others_is_checked_too(place):
    """A picture of two draws a partner from the whole folder."""
    suite = place / "couple.toml"
    suite.write_text(SUITE.replace('"edit if able"', '"edit if able"\npeople = 2'))
    leaky = place / "leaky"
    shutil.copytree(place / "nano", leaky)
    hashes = [photo_hash(place / "photos" / "sky" / "0.png")]
    (leaky / "trained_on.json").write_text(json.dumps({"made_up": [], "photos": hashes}))
    one = Evaluation(
        str(leaky), place / "couple", suite=str(suite), people=1, photos=place / "photos"
    )
    with pytest.raises(InputError, match="leak: 1 of 2 people were trained on"):
        one.draw()


def test_the_model_without_gate_is_checked_for_leaks_too(place, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "trained_on.json").write_text(json.dumps({"made_up": ["eval"], "photos": []}))
    one = Evaluation(
        str(place / "nano"), tmp_path / "out", claims="context", people=1, without_gate=str(bare)
    )
    with pytest.raises(InputError, match=r"bare: trained_on\.json\), whose people the suite draws"):
        one.draw()
    assert not (tmp_path / "out").exists()


def test_judges_alone_are_measured_on_the_photos(place, capsys):
    assert run(place, "judged", "--only", "judges") == 0
    assert "| faces found (4) | 100.0% |" in capsys.readouterr().out
    kept = json.loads((place / "judged" / "judges.json").read_text())
    assert kept["measured"]["judge_auc"]["value"] == 1
