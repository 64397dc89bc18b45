"""Fields of the world for a whole model, drawn inside one function: as the loader of files would have made them."""

import jax.numpy as jnp
import numpy as np
import pytest
from face_nets import SMALL, write_small

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.transforms import reference_raster, reference_square
from dynamicid_jax.data.world import world_info
from dynamicid_jax.data.world_fields import draw_fields, plan_fields
from dynamicid_jax.errors import InputError
from dynamicid_jax.images import rgb_from_bytes
from dynamicid_jax.inference.random_model import tiny_config
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import write_tokenizer
from dynamicid_jax.training.face_base import load_face_base
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.world.sources import Source

FIELDS = ("text_ids", "face_text_ids", "raster", "id_embedding", "face_box", "person")
NUMBERS = [5, 9, 40, 77]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    text = tiny_config().text_encoder
    write_tokenizer(folder, text.max_length)
    return Tokenizer(folder, 320)  # single bytes: captions are long


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    shapes = write_small(tmp_path_factory.mktemp("shapes") / "shapes.json")
    config = TrainConfig(stage="recogniser", random_base=shapes)
    return SMALL, load_face_base(config, STAGES["recogniser"], world_info()).weights


@pytest.fixture(scope="module")
def source():
    return Source("world/variface", "eval", people=4, size=8)


@pytest.fixture(scope="module")
def drawn(source, tokenizer, faces):
    plan, tables = plan_fields(BatchSpec(FIELDS, 8), tokenizer, faces)
    made = draw_fields(source, plan, tables, jnp.asarray(NUMBERS))
    return {name: np.asarray(value) for name, value in made.items()}


def test_texts_are_the_records_own(drawn, source, tokenizer):
    for row, record in enumerate(source.records(NUMBERS)):
        np.testing.assert_array_equal(drawn["text_ids"][row], tokenizer.ids([record.caption])[0])
        prompt = tokenizer.ids([record.face_prompt])[0]
        np.testing.assert_array_equal(drawn["face_text_ids"][row], prompt)


def test_identities_have_length_one_and_differ_between_pictures(drawn):
    one = drawn["id_embedding"]
    assert one.shape == (4, SMALL.embedding)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    alike = one @ one.T
    assert (alike[~np.eye(4, dtype=bool)] < 1 - 1e-4).all()


def test_rasters_and_people(drawn):
    assert drawn["raster"].shape == (4, 96, 96)
    assert set(np.unique(drawn["raster"])) == {-1, 1}
    assert (drawn["person"] % 2**28 == np.array(NUMBERS) // 35).all()


def test_references_are_what_a_record_of_the_picture_gives():
    source = Source("world/variface", "eval", people=4, size=64)
    plan, tables = plan_fields(BatchSpec(("raster", "reference"), 64, reference_size=48))
    made = draw_fields(source, plan, tables, jnp.asarray(NUMBERS))
    for row, record in enumerate(source.records(NUMBERS)):
        picture = rgb_from_bytes(record.picture, record.key)
        read = reference_square(picture, record.face_box, "face x 2", 48)
        # Drawn at once or scaled twice: edges differ, places do not.
        assert np.abs(np.asarray(made["reference"][row]).astype(float) - read).mean() < 12
        ours, theirs = (
            np.argwhere(np.asarray(one) > 0)
            for one in (made["raster"][row], reference_raster(record, "face x 2"))
        )
        apart = np.abs(ours[:, None] - theirs[None]).max(-1)
        assert (
            max(apart.min(0).max(), apart.min(1).max()) <= 2
        )  # cells: half a pixel of 64, and rounding


def test_a_sitting_differs_by_motion_alone(source):
    cells = source.scenes(jnp.arange(35, 70))
    for name in ("background", "light", "warmth", "shirt", "collar", "x", "y", "scale"):
        assert len(np.unique(np.asarray(getattr(cells, name)))) == 1, name
    assert len(np.unique(np.asarray(cells.move.expression))) == 7
    sittings = source.scenes(jnp.arange(4) * 35)
    assert len(np.unique(np.asarray(sittings.light))) == 4


@pytest.mark.parametrize(
    ("field", "words"),
    [("id_embedding", "data.face_nets"), ("text_ids", "tokenizer"), ("moments", "does not draw")],
)
def test_what_is_missing_is_named(field, words):
    with pytest.raises(InputError, match=words):
        plan_fields(BatchSpec((field,), 8))
