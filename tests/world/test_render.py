"""Pictures: finite, the same at every size, and showing what they say."""

import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.prompts import parse_face_words
from dynamicid_jax.world import captions, export
from dynamicid_jax.world.backdrop import SHIRT_COLOURS
from dynamicid_jax.world.factors import row
from dynamicid_jax.world.png import png
from dynamicid_jax.world.render import to_bytes
from dynamicid_jax.world.scene import SHIRTS
from dynamicid_jax.world.sources import Source


def test_sizes_agree_after_shrinking(batch: dict[str, Any], painter: Any) -> None:
    """Twice the size, shrunk by averaging, is nearly the same picture; its quarters are views."""
    scenes = jax.tree.map(jnp.asarray, batch["scene"])
    quarters = []
    for top in (0.0, 0.5):
        views = (jnp.array([[0.5, 0.0, left], [0.0, 0.5, top]]) for left in (0.0, 0.5))
        row = [painter(scenes, jnp.broadcast_to(view[None], (8, 2, 3))) for view in views]
        quarters.append(np.concatenate(row, 2))
    large = np.concatenate(quarters, 1)
    assert np.isfinite(large).all()
    assert large.min() >= 0
    assert large.max() <= 1
    difference = abs(large.reshape(8, 32, 2, 32, 2, 3).mean((2, 4)) - batch["pixels"])
    assert difference.mean() < 0.012
    assert np.quantile(difference, 0.99) < 0.14


def test_pictures_of_different_numbers_differ(batch: dict[str, Any]) -> None:
    pixels = batch["pixels"]
    assert pixels.shape == (8, 32, 32, 3)
    for i in range(8):
        for j in range(i):
            assert abs(pixels[i] - pixels[j]).mean() > 0.02


def test_shirts_have_the_colour_that_the_caption_says(batch: dict[str, Any]) -> None:
    found, scenes = batch["truth"], batch["scene"]
    for i in range(len(found.heads)):
        p = int(found.heads[i]) - 1  # painted last: nobody stands before
        place = [
            scenes.x[i, p] + 0.3 * scenes.scale[i, p],
            scenes.y[i, p] + 1.55 * scenes.scale[i, p],
        ]
        if max(place) > 0.97:
            continue  # below the picture's edge
        x, y = (np.array(place) * 32).astype(int)
        near = abs(SHIRT_COLOURS - batch["pixels"][i, y, x]).sum(1).argmin()
        assert SHIRTS[near] == SHIRTS[found.shirt[i, p]]


def test_captions_say_count_words_and_background(batch: dict[str, Any]) -> None:
    for i, ids in enumerate(batch["phrases"]):
        text = captions.caption(ids)
        count = int(batch["truth"].heads[i])
        assert text.startswith(("one person", "two people, on", "three people, on")[count - 1])
        assert text.count(" shirt, in a") + text.count(" shirt, in an") == count
        move = row(row(batch["scene"].move, i), 0)
        words = captions.face_words(move)
        assert words.prompt() in text
        assert parse_face_words(words.prompt()) in (
            words,
            words.__class__(words.expression, None, words.view),
        )


def test_tokens_are_joined_without_gaps() -> None:
    lengths = jnp.array([0, 1, 3, 2])
    tokens = jnp.array([[0, 0, 0], [11, 0, 0], [21, 22, 23], [31, 32, 0]])
    joined = captions.join_tokens(jnp.array([3, 0, 2, 1]), tokens, lengths, begin=1, end=2, size=10)
    assert joined.tolist() == [1, 31, 32, 21, 22, 23, 11, 2, 2, 2]
    cut = captions.join_tokens(jnp.array([3, 0, 2, 1]), tokens, lengths, begin=1, end=2, size=5)
    assert cut.tolist() == [1, 31, 32, 21, 2]


def test_png_is_read_back(batch: dict[str, Any]) -> None:
    whole = np.asarray(to_bytes(jnp.asarray(batch["pixels"][0])))
    for picture in (whole, whole[:, :, :1]):
        read = np.asarray(Image.open(io.BytesIO(png(picture))))
        assert np.array_equal(read.reshape(picture.shape), picture)


def test_records_and_folders_of_variface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CELLS", 2)  # two cells are enough here
    files = export.write_variface(tmp_path, people=1, size=32)
    assert [file.name for file in files] == ["0.png", "1.png"]
    assert files[1].with_suffix(".txt").read_text() == "in a happy expression, in half left view\n"
    marks = np.asarray(Image.open(files[0].with_name("0_landmark.png")))
    assert marks.shape == (96, 96)
    assert 60 < (marks > 0).sum() <= 106
    source = Source("world/variface", "demo", people=1, size=32)
    record = source.records([0, 1])[1]
    assert (record.studio_cell, record.expression, len(source)) == (1, "happy", 35)
    assert record.person == files[0].parent.name
    assert record.picture == files[1].read_bytes()
    assert abs(record.yaw + 24) <= 4
    with pytest.raises(IndexError, match="picture 35 of 35"):
        source.records([35])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"kind": "world/cats"}, "source 'world/cats': expected one of world/portraits"),
        ({"kind": "world/scenes", "people": 2}, "people: expected 3 to"),
        ({"kind": "world/scenes", "counts": ()}, "counts: expected 1 to 3 weights"),
        ({"kind": "world/scenes", "split": "test"}, "split 'test': expected"),
    ],
)
def test_wrong_requests_are_named(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Source(**asked)


@pytest.mark.parametrize("attribute", captions.ATTRIBUTES)
def test_a_misnamed_caption_differs_in_that_attribute_only(
    batch: dict[str, Any], attribute: str
) -> None:
    group = captions._GROUPS[attribute]
    for ids in batch["phrases"]:
        seen = set()
        for number in range(len(group) - 1):
            wrong = np.asarray(captions.misnamed(jnp.asarray(ids), attribute, jnp.int32(number)))
            changed = wrong != ids
            said = [captions.PHRASES[one] in group for one in ids]
            assert changed.tolist() == said
            assert any(said)
            assert all(captions.PHRASES[one] in group for one in wrong[changed])
            seen.add(tuple(wrong))
        assert len(seen) == len(group) - 1
