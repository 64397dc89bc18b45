"""The shipped recipes of the face pack, shrunk: the whole chain trains, and what comes out is a pack for insightface."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from face_nets import SMALL, write_small

from dynamicid_jax.config import read_recipe
from dynamicid_jax.convert.face_folder import load_faces
from dynamicid_jax.errors import DynamicIDError, MissingPartError
from dynamicid_jax.evaluation.face_judges import FaceJudges
from dynamicid_jax.export.face_pack import TOLERANCE, export_face_pack
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.training.chain import run_chain

RECIPES = Path(__file__).parents[2] / "configs" / "mini" / "face_pack"
ORDER = ("detector", "recogniser", "landmarks", "judge_recogniser", "judge_motion")


def _shrunk(name, shapes):
    config = read_recipe(RECIPES / f"{name}.py")
    (source,) = config.data.sources
    people = 16 if source.people else 0
    return replace(
        config,
        random_base=shapes,
        batch_size=8,
        steps=2,
        data=replace(
            config.data,
            image_size=8,
            sources=(replace(source, people=people, pictures=64),),
        ),
        log=replace(config.log, every=1, heldout_every=0),
    )


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("face_pack")
    shapes = write_small(folder / "shapes.json")
    recipes = [(name, _shrunk(name, shapes)) for name in ORDER]
    return folder, run_chain(recipes, folder / "run", lambda text: None)


def test_every_recipe_trains_and_the_chain_gathers_all_parts(chain):
    folder, reports = chain
    assert [report["status"] for report in reports] == ["finished"] * 5
    config, weights = load_faces(folder / "run" / "judge_motion" / "model")
    assert config == SMALL
    assert set(weights) == set(ORDER)
    before = load_faces(folder / "run" / "recogniser" / "model")[1]["recogniser"]
    for one, other in zip(
        jax.tree.leaves(before), jax.tree.leaves(weights["recogniser"]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_exported_pack_is_one_for_insightface(chain):
    folder, _ = chain
    report = export_face_pack(
        folder / "run" / "judge_motion" / "model", folder / "pack", lambda text: None
    )
    assert all(part["difference"] <= TOLERANCE for part in report.values())
    pack = FacePack.load(folder / "pack")
    assert pack.landmark_sets == (5, 106)
    assert not pack.unused
    picture = np.full((64, 64, 3), 90, np.uint8)
    pack.detect(picture)  # whatever it finds
    judges = FaceJudges(folder / "pack" / "judges")
    points = np.array([[20.0, 25], [40, 25], [30, 35], [22, 45], [38, 45]], np.float32)
    assert np.linalg.norm(judges.embedding(picture, points)) == pytest.approx(1, abs=1e-5)
    expression, turn = judges.motion(picture, np.array([10, 10, 50, 50], np.float32))
    assert expression.shape == turn.shape == (7,)


def test_a_pack_of_untrained_parts_is_refused(chain, tmp_path):
    folder, _ = chain
    with pytest.raises(MissingPartError, match="lacks landmarks, judge_recogniser"):
        export_face_pack(folder / "run" / "recogniser" / "model", tmp_path / "pack")
    with pytest.raises(DynamicIDError, match="no face_nets.json"):
        export_face_pack(tmp_path, tmp_path / "pack")
