"""Face prompts in METHOD's wording, and the words a user may say."""

import itertools

import golden_io as golden
import numpy as np
import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.pose import Pose
from dynamicid_jax.faces.prompts import (
    EXPRESSIONS,
    FACINGS,
    VIEWS,
    FaceWords,
    face_prompt,
    fill_faces,
    parse_face_words,
)
from dynamicid_jax.faces.record import Detection, FaceRecord

PUBLISHED = golden.load("f_edit")[1]["pose_prompts"]


@pytest.mark.parametrize(("angles", "prompt"), PUBLISHED)
def test_the_published_wording(angles, prompt):
    pitch, yaw = map(float, angles)
    assert face_prompt("neutral", yaw, pitch) == prompt


def test_the_boundaries():
    assert face_prompt("sad", 0.0, 10.0) == "in a sad expression, in front view"
    assert face_prompt("sad", 0.0, -10.0) == "in a sad expression, in front view"
    assert face_prompt("sad", 0.0, 10.01) == "in a sad expression, facing up, in front view"
    assert face_prompt("sad", 9.99, -10.01) == "in a sad expression, facing down, in front view"
    assert face_prompt("sad", -10.0, 0.0) == "in a sad expression, in side view"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("happy, side view", FaceWords("happy", None, "side")),
        ("surprised, facing up", FaceWords("surprise", "up", None)),
        ("half left", FaceWords(None, None, "half left")),
        ("Looking  DOWN;scared", FaceWords("fear", "down", None)),
        ("a smiling face turned to the right", FaceWords("happy", None, "half right")),
        ("full-right, disgusted", FaceWords("disgust", None, "full right")),
        ("angry face in profile, looking level", FaceWords("anger", "level", "side")),
        ("sadness; sad", FaceWords("sad", None, None)),
        ("in front view", FaceWords(None, None, "front")),
    ],
)
def test_words_are_read(text, words):
    assert parse_face_words(text) == words


@pytest.mark.parametrize(
    "text", ["grinning like a cat", "half", "full up", "upside down", "happy 3"]
)
def test_an_unknown_word_lists_the_vocabulary(text):
    with pytest.raises(InputError, match="unknown word") as caught:
        parse_face_words(text)
    line = str(caught.value)
    assert "\n" not in line
    for word in (*EXPRESSIONS, "facing up", "facing down", "half left", "full right", "side view"):
        assert word in line


@pytest.mark.parametrize("text", ["", " , ", "a face", "in view"])
def test_saying_nothing_is_an_error(text):
    with pytest.raises(InputError, match=r"nothing said; known are expressions happy"):
        parse_face_words(text)


@pytest.mark.parametrize(
    ("text", "both"),
    [
        ("happy and sad", "'happy' and 'sad'"),
        ("up, down", "'up' and 'down'"),
        ("front view, half left", "'front' and 'half left'"),
    ],
)
def test_contradictions_are_errors(text, both):
    with pytest.raises(InputError, match=f"both {both}; say one of them"):
        parse_face_words(text)


def test_the_unsaid_keeps_the_source():
    source = FaceWords("neutral", "down", "side")
    assert parse_face_words("happy").complete(source) == FaceWords("happy", "down", "side")
    assert parse_face_words("facing level, front view").complete(source).prompt() == (
        "in a neutral expression, in front view"
    )
    assert parse_face_words("half left").complete(source).prompt() == (
        "in a neutral expression, facing down, in half left view"
    )


def test_a_prompt_needs_everything_said():
    with pytest.raises(InputError, match="all needed"):
        FaceWords("happy", None, "front").prompt()


def test_every_prompt_is_read_back_and_no_two_are_alike():
    prompts = set()
    for expression, facing, view in itertools.product(EXPRESSIONS, FACINGS, VIEWS):
        words = FaceWords(expression, facing, view)
        again = parse_face_words(words.prompt())
        assert again.complete(FaceWords(facing="level")) == words
        prompts.add(words.prompt())
    assert len(prompts) == 7 * 3 * 6


def test_a_measured_face():
    record = FaceRecord(
        detection=Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9),
        embedding=np.ones(1, np.float32),
        pose=Pose(-30.0, 12.0, 0.0, "network"),
    )
    assert FaceWords.measured(record) == FaceWords("neutral", "up", "side")
    assert FaceWords.measured(record, expression="fear").expression == "fear"


def test_faces_in_a_prompt_are_filled_in_order():
    prompt = "two people, {face}, and {face}, at the sea"
    assert fill_faces(prompt, ["happy, half left", None]) == (
        "two people, in a happy expression, in half left view, and , at the sea"
    )
    assert fill_faces("one person, {face}, at the sea", [None]) == "one person, at the sea"
    assert fill_faces("{face}", []) == ""
    assert fill_faces(" as it is, , said,", ["happy"]) == " as it is, , said,"
    with pytest.raises(InputError, match="unknown word 'grumpy'"):
        fill_faces("{face}", ["grumpy"])
