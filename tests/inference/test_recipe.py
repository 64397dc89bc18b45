"""Pictures that carry their recipe, and files that are never half-written."""

import errno
import json

import numpy as np
import pytest
from PIL import Image

from dynamicid_jax import files
from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.inference import recipe


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8))


def test_round_trip_with_any_unicode(tmp_path, picture) -> None:
    told = {
        "prompt": "zwei Freunde, 海辺, 🙂 \n \\",
        "seed": 3,
        "people": [{"box": [0.1, 0.2, 1.0, 1.0]}],
    }
    path = recipe.save_picture(picture, tmp_path / "a.png", told)
    assert recipe.read_recipe(path) == told
    with Image.open(path) as again:
        assert (np.asarray(again) == np.asarray(picture)).all()


def test_same_picture_and_recipe_give_the_same_bytes(tmp_path, picture) -> None:
    paths = [
        recipe.save_picture(picture, tmp_path / name, {"b": 1, "a": 2})
        for name in ("x.png", "y.png")
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_no_space_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "a.json"
    files.save_json({"old": True}, path)

    def full(file) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match="no space left"):
        files.write_atomically(path, full)
    assert json.loads(path.read_text()) == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_missing_folder_and_folder_as_name(tmp_path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        files.check_output(tmp_path / "no" / "a.png")
    with pytest.raises(OutputError, match="is a folder"):
        files.check_output(tmp_path)


def test_only_png_names_are_taken(tmp_path, picture) -> None:
    with pytest.raises(InputError, match=r"end the name in \.png"):
        recipe.save_picture(picture, tmp_path / "a.jpg", {})


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_recipe_is_read_from_json_as_well(tmp_path, wrapped: bool) -> None:
    told = {"people": [], "seed": 3}
    files.save_json({"recipe": told, "quality": []} if wrapped else told, tmp_path / "out.json")
    assert recipe.read_recipe(tmp_path / "out.json") == told


@pytest.mark.parametrize("text", ["", "[]", "{", '{"people": 3}', "\xff"])
def test_json_without_a_recipe_is_refused(tmp_path, text: str) -> None:
    (tmp_path / "out.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"carries no recipe|cannot be read as JSON"):
        recipe.read_recipe(tmp_path / "out.json")


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n truncated"])
def test_what_is_no_picture_has_no_recipe(tmp_path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]*expected one made by dynamicid$"):
        recipe.read_recipe(path)


@pytest.mark.parametrize("told", [{}, {"people": 3}, {"people": ["alice"]}])
def test_a_recipe_of_another_shape_is_refused(tmp_path, picture, told: dict) -> None:
    path = recipe.save_picture(picture, tmp_path / "a.png", told)
    with pytest.raises(InputError, match="carries no recipe"):
        recipe.read_recipe(path)


def test_foreign_pictures_and_missing_files(tmp_path, picture) -> None:
    picture.save(tmp_path / "plain.png")
    with pytest.raises(InputError, match="carries no recipe"):
        recipe.read_recipe(tmp_path / "plain.png")
    with pytest.raises(InputError, match="no such file"):
        recipe.read_recipe(tmp_path / "none.png")
