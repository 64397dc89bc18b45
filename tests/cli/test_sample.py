"""sample.py from end to end: fake face networks, the tiny published checkpoint, real files."""

import json

import fake_face_pack as fake
import golden_io as golden
import numpy as np
import pytest
from PIL import Image

from dynamicid_jax.cli.main import main
from dynamicid_jax.inference.recipe import read_recipe


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Detector, recogniser and a 106-point network."""
    folder = fake.write_pack(tmp_path_factory.mktemp("packs") / "fake")
    fake.write_landmarks(folder / "points.onnx", np.linspace(-0.9, 0.9, 212))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two people who differ in place and colour, and a wall."""
    folder = tmp_path_factory.mktemp("photos")
    wall = np.full((fake.SIZE, fake.SIZE, 3), 40, np.uint8)
    pictures = {
        "alice": fake.photo(("large", 10, 10)),
        "bob": np.maximum(fake.photo(("large", 5, 4)), np.array([[[0, 90, 20]]], np.uint8)),
        "wall": wall,
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def command(pack, photos):
    """A command line for a picture of both people, as a list to change."""
    return [
        *("sample", "--model", str(golden.checkpoint), "--face_pack", str(pack)),
        *("--person", str(photos / "alice.png"), "--face", "happy, side view"),
        *(
            "--box",
            "0.05,0.1,0.45,0.6",
            "--person",
            str(photos / "bob.png"),
            str(photos / "bob.png"),
        ),
        *("--box", "0.5,0.1,0.95,0.6", "--prompt", "two people", "--size", "128", "--steps", "2"),
    ]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_people_with_everything_written(command, tmp_path, capsys) -> None:
    out = tmp_path / "out.png"
    more = ["--gate_maps", str(tmp_path / "maps.png"), "--json", str(tmp_path / "out.json")]
    assert main([*command, "--out", str(out), *more]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(out)]
    assert "compiled in" in told.err
    assert "steps/s" in told.err
    assert files(tmp_path) == ["maps.png", "out.json", "out.png"]
    with Image.open(out) as picture:
        assert picture.size == (128, 128)
    recipe = read_recipe(out)
    assert recipe["prompt"] == "two people"
    assert [person["face"] for person in recipe["people"]] == ["happy, side view", None]
    assert [len(person["references"]) for person in recipe["people"]] == [1, 2]
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["recipe"] == {k: v for k, v in recipe.items() if k != "index"}
    assert [verdict["faces"] for verdict in written["quality"]] == [1, 1, 1]
    assert str(tmp_path) not in json.dumps(recipe)


def test_the_same_command_and_like_give_the_same_bytes(command, tmp_path, photos) -> None:
    first, again, like = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    assert main([*command, "--seed", "5", "--out", str(first)]) == 0
    assert main([*command, "--seed", "5", "--out", str(again)]) == 0
    assert first.read_bytes() == again.read_bytes()
    start = command[: command.index("--person")]
    people = ["--person", str(photos / "alice.png"), "--person", *[str(photos / "bob.png")] * 2]
    assert main([*start, *people, "--like", str(first), "--out", str(like)]) == 0
    assert first.read_bytes() == like.read_bytes()


def test_boxes_are_found_and_like_repeats_them(command, tmp_path, photos, capsys) -> None:
    words = ["auto" if word.count(",") == 3 else word for word in command]
    assert main([*words, "--out", str(tmp_path / "auto.png")]) == 0
    assert "boxes: faces" in capsys.readouterr().err  # the fake pack finds some in noise
    people = ["--person", str(photos / "alice.png"), "--person", *[str(photos / "bob.png")] * 2]
    like = ["--like", str(tmp_path / "auto.png"), "--out", str(tmp_path / "again.png")]
    assert main([*command[:5], *people, *like]) == 0
    assert (tmp_path / "auto.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_like_keeps_which_face_and_what_the_photo_shows(command, tmp_path, photos) -> None:
    first, like = tmp_path / "a.png", tmp_path / "b.png"
    at = command.index("--face")
    told = ["--which", "0", "--source_face", "sad, facing up"]
    assert main([*command[:at], *told, *command[at:], "--out", str(first)]) == 0
    assert read_recipe(first)["people"][0]["which"] == 0
    start = command[: command.index("--person")]
    people = ["--person", str(photos / "alice.png"), "--person", *[str(photos / "bob.png")] * 2]
    assert main([*start, *people, "--like", str(first), "--out", str(like)]) == 0
    assert first.read_bytes() == like.read_bytes()


def test_like_refuses_other_references(command, tmp_path, photos, capsys) -> None:
    first, like = tmp_path / "a.png", tmp_path / "c.png"
    assert main([*command, "--out", str(first)]) == 0
    start = command[: command.index("--person")]
    swapped = ["--person", str(photos / "bob.png"), "--person", *[str(photos / "bob.png")] * 2]
    assert main([*start, *swapped, "--like", str(first), "--out", str(like)]) == 2
    assert "person 1's references differ" in capsys.readouterr().err
    assert main([*start, "--like", str(first), "--out", str(like)]) == 2
    assert "shows 2 people, 0 are given" in capsys.readouterr().err
    assert files(tmp_path) == ["a.png"]


def test_several_pictures_are_numbered(command, tmp_path) -> None:
    plain = command[: command.index("--face_pack")]
    options = ["--prompt", "a garden", "--size", "128", "--steps", "1", "--num_images", "2"]
    assert main([*plain, *options, "--out", str(tmp_path / "out.png")]) == 0
    assert files(tmp_path) == ["out-0.png", "out-1.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--model": "/no/such/model"}, "no such folder"),
        ({"--face_pack": "/no/such/pack"}, "/no/such/pack"),
        ({"--prompt": None}, "--prompt: expected what the picture shows"),
        ({"--size": "100"}, "multiple of 64"),
        ({"--size": "big"}, "expected N or WIDTHxHEIGHT"),
        ({"--sampler": "magic"}, "expected one of ddim"),
        ({"--steps": "0"}, "steps: expected a whole number"),
        ({"--box": "0.5,0.1,0.1,0.6"}, "reversed"),
        ({"--box": "0,0,2,1"}, "leaves"),
        ({"--box": "left"}, "expected x0,y0,x1,y1"),
        ({"--box": "0,0,0.001,1"}, "covers no cell"),
        ({"--face": "sleepy"}, "unknown word 'sleepy'"),
        ({"--dtype": "int4"}, "dtype: expected one of"),
        ({"--like": "/no/such.png"}, "no such file"),
        ({"--out": "/no/such/folder/out.png"}, "does not exist"),
        ({"--out": "out.jpg"}, "end the name in .png"),
        ({"--adapter": "/no/such/SAA.bin"}, "no such file"),
        ({"--lora": "/no/such.safetensors=0.5"}, "--lora /no/such.safetensors: no such file"),
        ({"--guidance_interval": "0.8,0.2"}, "guidance_interval: expected two fractions"),
        ({"--guidance_interval": "half"}, "expected FROM,TO"),
        ({"--vae_tile": "8"}, "vae_tile: expected a whole number"),
    ],
)
def test_bad_input_is_one_line_and_code_two(command, tmp_path, capsys, change, message) -> None:
    changed = [*command, "--out", str(tmp_path / "out.png")]
    for option, value in change.items():
        if option not in changed:
            changed += [option, value]
        elif value is None:
            place = changed.index(option)
            del changed[place : place + 2]
        else:
            changed[changed.index(option) + 1] = value
    assert code_of(changed) == 2
    told = capsys.readouterr()
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, told.err
    assert message in errors[0]
    assert "Traceback" not in told.err
    assert told.out == ""
    assert files(tmp_path) == []


def code_of(arguments: list[str]) -> int:
    """The exit code, also where argparse itself exits."""
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.parametrize("name", ["wall.png", "none.png", "text.png", "cut.png"])
def test_bad_photos_are_named(command, photos, tmp_path, capsys, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    whole = (photos / "alice.png").read_bytes()
    contents = {"text.png": b"hello", "cut.png": whole[: len(whole) // 2]}
    contents["wall.png"] = (photos / "wall.png").read_bytes()
    if name in contents:
        (folder / name).write_bytes(contents[name])
    changed = [str(folder / name) if part.endswith("alice.png") else part for part in command]
    assert main([*changed, "--out", str(tmp_path / "out.png")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert name in errors[0]
    assert files(tmp_path) == ["in"]


def test_outputs_never_cover_a_photo_or_each_other(command, photos, tmp_path, capsys) -> None:
    photo = photos / "alice.png"
    before = photo.read_bytes()
    assert main([*command, "--out", str(photo)]) == 2
    assert "alice.png: is a photo or another output" in capsys.readouterr().err
    same = str(tmp_path / "same.png")
    assert main([*command, "--out", same, "--gate_maps", same]) == 2
    assert photo.read_bytes() == before
    assert files(tmp_path) == []


def test_gate_maps_that_cannot_be_are_refused_before_anything_is_drawn(command, tmp_path) -> None:
    out = ["--out", str(tmp_path / "out.png"), "--gate_maps", str(tmp_path / "maps.png")]
    assert main([*command, "--no_gate", *out]) == 2
    assert files(tmp_path) == []


def test_like_with_another_number_of_steps_takes_that_numbers_layout_steps(
    command, tmp_path, photos
) -> None:
    first, like = tmp_path / "a.png", tmp_path / "b.png"
    start = command[: command.index("--person")]
    people = ["--person", str(photos / "alice.png"), "--person", *[str(photos / "bob.png")] * 2]
    assert main([*command, "--out", str(first)]) == 0
    assert main([*start, *people, "--like", str(first), "--steps", "4", "--out", str(like)]) == 0
    assert [read_recipe(path)["layout_steps"] for path in (first, like)] == [0, 1]


def test_a_real_photograph_and_real_face_networks(real_assets, tmp_path) -> None:
    from skimage import data

    photo, out = tmp_path / "astronaut.png", tmp_path / "out.png"
    Image.fromarray(data.astronaut()).save(photo)
    networks = ["--model", str(golden.checkpoint), "--face_pack", str(real_assets / "face_pack")]
    options = ["--prompt", "an astronaut", "--size", "128", "--steps", "2"]
    assert main(["sample", *networks, "--person", str(photo), *options, "--out", str(out)]) == 0
    assert len(read_recipe(out)["people"]) == 1


def test_an_option_before_its_person_is_refused(command, tmp_path, capsys) -> None:
    at = command.index("--person")
    changed = [*command[:at], "--face", "happy", *command[at:]]
    assert code_of([*changed, "--out", str(tmp_path / "out.png")]) == 2
    assert "--face belongs to a person" in capsys.readouterr().err


def test_editing_without_landmark_network_names_it(command, tmp_path, capsys) -> None:
    bare = fake.write_pack(tmp_path / "pack")
    changed = list(command)
    changed[changed.index("--face_pack") + 1] = str(bare)
    assert main([*changed, "--out", str(tmp_path / "out.png")]) == 2
    assert "2d106det.onnx" in capsys.readouterr().err
