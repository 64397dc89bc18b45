"""From photographs to tokens: averaging, edits, conventions. Fake face networks, tiny checkpoint."""

import fake_face_pack as fake
import golden_io as golden
import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.inference.preprocess import clip_pixels
from dynamicid_jax.models.configs import ImageEncoderConfig

ALICE = fake.photo(("large", 10, 10))
BOB = np.maximum(fake.photo(("large", 5, 4)), np.array([[[0, 90, 20]]], np.uint8))


def with_points(folder, answer) -> FacePack:
    fake.write_pack(folder)
    fake.write_landmarks(folder / "points.onnx", answer)
    return FacePack.load(folder)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory) -> DynamicIDPipeline:
    pack = with_points(tmp_path_factory.mktemp("packs") / "a", np.linspace(-0.9, 0.9, 212))
    return DynamicIDPipeline.from_pretrained(golden.checkpoint, face_pack=pack)


def tokens(person) -> np.ndarray:
    ((values, weight),) = person.members
    assert weight == 1
    return np.asarray(values)


def test_people_differ_and_the_same_photo_does_not(pipe) -> None:
    alice, again, bob = (tokens(pipe.person(photo)) for photo in (ALICE, ALICE.copy(), BOB))
    assert alice.shape == pipe.token_shape
    assert (alice == again).all()
    assert np.abs(alice - bob).max() > 1e-3


def test_several_copies_of_a_photo_are_that_photo(pipe) -> None:
    one, three = tokens(pipe.person(ALICE)), tokens(pipe.person([ALICE] * 3))
    np.testing.assert_allclose(one, three, atol=1e-5)


def test_several_photos_do_not_depend_on_their_order(pipe) -> None:
    one, other = tokens(pipe.person([ALICE, BOB])), tokens(pipe.person([BOB, ALICE]))
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(one - tokens(pipe.person(ALICE))).max() > 1e-4


def test_words_change_the_motion_and_synonyms_do_not_differ(pipe) -> None:
    plain, happy, smiling, sad = (
        tokens(pipe.person(ALICE, face=face)) for face in (None, "happy", "smiling", "sad")
    )
    assert (happy == smiling).all()
    assert np.abs(plain - happy).max() > 1e-3
    assert np.abs(happy - sad).max() > 1e-4


def test_what_is_unsaid_keeps_the_sources_value(pipe) -> None:
    said = tokens(pipe.person(ALICE, face="happy", source_face="sad, facing up, side view"))
    full = tokens(
        pipe.person(ALICE, face="happy, facing up, side view", source_face="sad, facing up, side")
    )
    assert (said == full).all()


def test_a_pose_photo_gives_the_motion(pipe) -> None:
    posed = pipe.person(ALICE, pose=BOB)
    assert np.abs(tokens(posed) - tokens(pipe.person(ALICE))).max() > 1e-3
    assert posed.recipe["pose"] is not None
    assert posed.recipe["references"] != [posed.recipe["pose"]]


def test_words_go_before_the_pose_photos_own(pipe) -> None:
    words = "happy, facing up, full left"
    both = tokens(pipe.person(ALICE, pose=BOB, face=words))
    assert np.abs(both - tokens(pipe.person(ALICE, pose=BOB))).max() > 1e-4
    assert np.abs(both - tokens(pipe.person(ALICE, face=words))).max() > 1e-4


def test_unknown_words_and_empty_lists_are_refused(pipe) -> None:
    with pytest.raises(InputError, match="unknown word 'sleepy'"):
        pipe.person(ALICE, face="sleepy")
    with pytest.raises(InputError, match="at least one photo"):
        pipe.person([])


def test_a_pack_without_the_right_landmarks_says_which_network_is_missing(tmp_path) -> None:
    pack = FacePack.load(fake.write_pack(tmp_path / "bare"))
    pipe = DynamicIDPipeline.from_pretrained(golden.checkpoint, face_pack=pack)
    assert tokens(pipe.person(ALICE)).shape == pipe.token_shape
    with pytest.raises(MissingPartError, match=r"106 landmarks.*gives 5.*2d106det\.onnx"):
        pipe.person(ALICE, face="happy")


def test_published_checkpoints_see_the_whole_photo_and_swapped_channels(pipe) -> None:
    assert (pipe.config.id_channels, pipe.config.reference_crop) == ("rgb", "none")


@pytest.mark.parametrize("index", range(3))
def test_preprocessing_equals_the_recorded_pixels(index: int) -> None:
    case, _ = golden.load("f_encode")
    ours = clip_pixels(case["in"][f"image{index}"], ImageEncoderConfig())
    recorded = case["out"][f"pixel_values_f16_{index}"][0].transpose(1, 2, 0)
    assert (ours.astype(np.float16) == recorded).all()


def test_faces_in_the_prompt_are_the_peoples_words(pipe) -> None:
    """As if they had been written there; the recipe holds the prompt that was drawn."""
    sad, plain = pipe.person(ALICE, face="sad, facing up"), pipe.person(ALICE)
    said = "somebody in a sad expression, facing up, before the sea"
    options = {"steps": 1, "seed": 3}
    filled = pipe("somebody {face}, before the sea", [sad], **options)
    (of_many,) = pipe.many(
        [{"prompt": "somebody {face}, before the sea", "people": [sad], **options}]
    )
    assert filled.metadata["recipe"]["prompt"] == said == of_many.metadata["recipe"]["prompt"]
    np.testing.assert_array_equal(filled.images, pipe(said, [sad], **options).images)
    mixed = pipe.mix([(plain, 1), (sad, 1)])
    assert (plain.face, mixed.face) == (None, "sad, facing up")
