"""Boxes that are found: which faces, whose they become, what happens without, and what the picture then is."""

from types import SimpleNamespace

import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.inference.auto_layout import (
    MAX_LOOKS,
    LayoutWarning,
    face_boxes,
    ranks_by_words,
    short_pass,
)
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.inference.request import Request

PROMPT = "two people, on the right a woman in red, on the left a man in blue"
OPTIONS = {"steps": 5, "sampler": "ddim", "seed": 3}


def face(x0, y0, x1, y1) -> Detection:
    return Detection(np.array([x0, y0, x1, y1], np.float32), np.zeros((5, 2), np.float32), 0.9)


def pack_that_sees(*looks) -> SimpleNamespace:
    """A face pack whose detector gives these faces, one list after the other."""
    rest = iter(looks)
    return SimpleNamespace(detect=lambda picture: next(rest))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> DynamicIDPipeline:
    folder = tmp_path_factory.mktemp("model") / "nano"
    return DynamicIDPipeline.from_pretrained(write_random_model(folder, "nano"))


@pytest.fixture
def pipe(model, monkeypatch):
    """The model; tests give it the pack that they need."""
    monkeypatch.setattr(model, "face_pack", None)
    return model


def couple(pipe, box, **options) -> list:
    tokens = np.random.default_rng(0).normal(size=(2, *pipe.token_shape))
    return [pipe.person(face_tokens=one, box=box, **options) for one in tokens]


def pair(size) -> list[Detection]:
    """Two faces side by side, the right one first."""
    return [
        face(0.6 * size, 0.2 * size, 0.9 * size, 0.5 * size),
        face(0.1 * size, 0.2 * size, 0.4 * size, 0.5 * size),
    ]


def test_boxes_are_twice_the_face_meet_half_way_and_stay_inside() -> None:
    left, right = face_boxes(pair(100), 2, (100, 100))
    np.testing.assert_allclose(left, (0.0, 0.05, 0.5, 0.65), atol=1e-6)
    np.testing.assert_allclose(right, (0.5, 0.05, 1.0, 0.65), atol=1e-6)


def test_a_face_above_another_is_not_cut() -> None:
    high, low = face(40, 10, 60, 30), face(42, 60, 62, 80)
    first, second = face_boxes([high, low], 2, (100, 100))
    np.testing.assert_allclose(first, (0.3, 0.0, 0.7, 0.4), atol=1e-6)
    np.testing.assert_allclose(second, (0.32, 0.5, 0.72, 0.9), atol=1e-6)


def test_the_largest_faces_are_taken_and_too_few_are_none() -> None:
    faces = [face(0, 0, 5, 5), *pair(100)]
    assert face_boxes(faces, 2, (100, 100)) == face_boxes(pair(100), 2, (100, 100))
    assert face_boxes(faces, 4, (100, 100)) is None
    assert face_boxes([face(-30, 0, -10, 20)], 1, (100, 100)) is None


@pytest.mark.parametrize(
    ("prompt", "words", "ranks"),
    [
        ("two people", ["", ""], [0, 1]),
        (PROMPT, ["a woman in red", "a man in blue"], [1, 0]),
        (PROMPT, ["a man in blue", "A Woman in red"], [0, 1]),
        (
            "Ada in the middle, Ben to the left and Dan to the right",
            ["Ada", "Ben", "Dan"],
            [1, 0, 2],
        ),
        ("Ben and Ada at the sea", ["Ada", "Ben"], [1, 0]),
    ],
)
def test_words_of_the_prompt_give_places(prompt, words, ranks) -> None:
    assert ranks_by_words(prompt, words) == ranks


@pytest.mark.parametrize("words", [["a woman in red", ""], ["a woman in red", "a dog"]])
def test_words_that_the_prompt_does_not_hold_are_refused(words) -> None:
    with pytest.raises(InputError, match="person 2"):
        ranks_by_words(PROMPT, words)


def test_the_picture_is_the_one_with_the_found_boxes_given(pipe, monkeypatch) -> None:
    size = pipe.config.sampling.width
    monkeypatch.setattr(pipe, "face_pack", pack_that_sees([], pair(size)))
    made = pipe(PROMPT, couple(pipe, "auto"), **OPTIONS)
    assert made.metadata["layout"] == {"how": "faces", "seed": 4, "looks": 2, "steps": 8}
    boxes = [one["box"] for one in made.metadata["recipe"]["people"]]
    assert boxes == [list(box) for box in face_boxes(pair(size), 2, (size, size))]
    people = [one.placed(tuple(box)) for one, box in zip(couple(pipe, None), boxes, strict=True)]
    again = pipe(PROMPT, people, **{**OPTIONS, "seed": 4})
    assert made.images[0].tobytes() == again.images[0].tobytes()
    assert made.metadata["recipe"] == again.metadata["recipe"]


def test_a_look_is_the_picture_without_people(pipe) -> None:
    request = Request.resolve(pipe.config, prompt=PROMPT, **OPTIONS)
    short = short_pass(request)
    assert short.steps == 4
    people = [person.placed((0.0, 0.0, 1.0, 1.0)) for person in couple(pipe, None)]
    seen, alone = pipe._generate(short, people), pipe._generate(short, ())
    np.testing.assert_allclose(seen.latents, alone.latents, atol=1e-5)


def test_without_faces_people_stand_in_strips_and_it_is_said(pipe, monkeypatch) -> None:
    monkeypatch.setattr(pipe, "face_pack", pack_that_sees(*[[]] * MAX_LOOKS))
    with pytest.warns(LayoutWarning, match="strips"):
        made = pipe(PROMPT, couple(pipe, "auto"), **OPTIONS)
    assert made.metadata["layout"]["how"] == "strips"
    plain = pipe(PROMPT, couple(pipe, None), **OPTIONS)
    assert made.images[0].tobytes() == plain.images[0].tobytes()


def test_what_cannot_be_found_is_refused(pipe, monkeypatch) -> None:
    with pytest.raises(MissingPartError, match="face_pack"):
        pipe(PROMPT, couple(pipe, "auto"), **OPTIONS)
    monkeypatch.setattr(pipe, "face_pack", pack_that_sees())
    with pytest.raises(InputError, match="num_images"):
        pipe(PROMPT, couple(pipe, "auto"), num_images=2, **OPTIONS)
    mixed = [couple(pipe, "auto")[0], couple(pipe, (0.0, 0.0, 0.5, 1.0))[1]]
    with pytest.raises(InputError, match="everybody"):
        pipe(PROMPT, mixed, **OPTIONS)
    with pytest.raises(InputError, match="auto"):
        couple(pipe, "automatic")


def test_strength_scales_one_person_alone(pipe) -> None:
    """All people at strength s are the whole call at identity scale s; 0 and 1 side by side are neither."""
    boxes = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]

    def picture(strengths, **options):
        people = [
            one.placed(box)
            for strength, box in zip(strengths, boxes, strict=True)
            for one in couple(pipe, None, strength=strength)[boxes.index(box) :][:1]
        ]
        return pipe(PROMPT, people, **OPTIONS, **options).latents

    np.testing.assert_allclose(
        picture([0.5, 0.5]), picture([1.0, 1.0], identity_scale=0.5), atol=1e-5
    )
    one_off = picture([1.0, 0.0])
    assert np.abs(one_off - picture([1.0, 1.0])).max() > 1e-3
    assert np.abs(one_off - picture([1.0, 1.0], identity_scale=0.0)).max() > 1e-3
    with pytest.raises(InputError, match="strength"):
        couple(pipe, None, strength=-1)


def test_previews_are_rough_pictures_and_change_nothing(pipe) -> None:
    seen = []
    people = couple(pipe, (0.2, 0.2, 0.8, 0.8))
    watched = pipe(PROMPT, people, preview=seen.append, **{**OPTIONS, "steps": 7})
    plain = pipe(PROMPT, people, **{**OPTIONS, "steps": 7})
    assert watched.images[0].tobytes() == plain.images[0].tobytes()
    assert len(seen) == 2
    assert all(max(one.size) <= max(plain.images[0].size) for one in seen)
