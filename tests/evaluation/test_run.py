"""The command from end to end: a random model, photographs, judges and a suite of one's own."""

import json

import fake_face_pack as fake
import fake_people
import pytest
from fake_judges import write_judge

from dynamicid_jax.cli.main import main
from dynamicid_jax.evaluation.leaks import photo_hash
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
    assert "nobody is edited" not in said.err  # this IMR reads the pack's five points
    assert "| portraits: FaceSim |" in said.out
    found = json.loads((place / "first" / "results.json").read_text())
    assert found["about"]["people"] == 2
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


def test_judges_alone_are_measured_on_the_photos(place, capsys):
    assert run(place, "judged", "--only", "judges") == 0
    assert "| faces found (4) | 100.0% |" in capsys.readouterr().out
    kept = json.loads((place / "judged" / "judges.json").read_text())
    assert kept["measured"]["judge_auc"]["value"] == 1
