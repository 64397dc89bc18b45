"""`dynamicid faces`: table, JSON and exit codes."""

import argparse
import json

import numpy as np
import pytest
from fake_face_pack import photo
from PIL import Image

from dynamicid_jax.cli import faces
from dynamicid_jax.errors import MissingPartError, OutputError


def call(*words):
    parser = argparse.ArgumentParser()
    faces.add_parser(parser.add_subparsers())
    args = parser.parse_args(["faces", *map(str, words)])
    return args.run(args)


@pytest.fixture
def photos(tmp_path):
    Image.fromarray(photo(("large", 10, 10))).save(tmp_path / "one.png")
    Image.fromarray(photo(("small", 5, 20), ("large", 5, 14))).save(tmp_path / "two.png")
    Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(tmp_path / "none.png")
    (tmp_path / "notes.png").write_text("hello")
    return tmp_path


def test_usable_photos(photos, fake_folder, capsys):
    assert call(photos / "one.png", photos / "two.png", "--face_pack", fake_folder) == 0
    shown, errors = capsys.readouterr()
    assert "usable" in shown
    assert "two.png: 2 faces; took the largest, number 1 from the left" in shown
    assert errors == ""


def test_json_of_good_and_bad_photos(photos, fake_folder, capsys):
    out = photos / "out.json"
    names = ["two.png", "none.png", "notes.png", "absent.png"]
    paths = [photos / name for name in names]
    assert call(*paths, "--face_pack", fake_folder, "--which", 0, "--json", out) == 2
    assert "error: 3 of 4 photos cannot be used" in capsys.readouterr().err
    value = json.loads(out.read_text())
    assert value["face_pack"] == "fake"
    two, *bad = value["photos"]
    assert (two["verdict"], two["faces"], two["taken"]) == ("usable", 2, 0)
    assert [one["photo"] for one in bad] == [str(path) for path in paths[1:]]
    assert {one["verdict"] for one in bad} == {"not usable"}
    reasons = [one["findings"][0]["reason"] for one in bad]
    assert reasons == ["no face", "unreadable", "unreadable"]
    assert bad[2]["findings"][0]["text"] == "no such file"
    assert "embedding" not in out.read_text()


def test_a_place_that_cannot_be_written_is_told_before_any_work(photos):
    with pytest.raises(OutputError, match="does not exist"):
        call(photos / "one.png", "--face_pack", "absent", "--json", photos / "no" / "out.json")


def test_a_missing_pack(photos):
    with pytest.raises(MissingPartError, match="non-commercial"):
        call(photos / "one.png", "--face_pack", photos / "absent")
