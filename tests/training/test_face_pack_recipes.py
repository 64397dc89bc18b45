"""The face pack: its recipes, shrunk, and what is exported as a pack for insightface."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from face_nets import SMALL, write_small

from dynamicid_jax.config import TrainConfig, read_recipe
from dynamicid_jax.convert.face_folder import load_faces, save_faces
from dynamicid_jax.data.world import world_info
from dynamicid_jax.errors import MissingPartError, OutputError, WeightsError
from dynamicid_jax.evaluation.face_pack import open_pack
from dynamicid_jax.evaluation.looks import JudgeLooker
from dynamicid_jax.export.face_pack import TOLERANCE, export_face_pack
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.training.chain import run_chain
from dynamicid_jax.training.face_base import load_face_base
from dynamicid_jax.training.stages import STAGES

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


@pytest.mark.slow  # five renderers and five steps to compile
def test_every_recipe_trains_and_the_chain_gathers_all_parts(tmp_path):
    shapes = write_small(tmp_path / "shapes.json")
    recipes = [(name, _shrunk(name, shapes)) for name in ORDER]
    reports = run_chain(recipes, tmp_path / "run", lambda text: None)
    assert [report["status"] for report in reports] == ["finished"] * 5
    config, weights = load_faces(tmp_path / "run" / "judge_motion" / "model")
    assert config == SMALL
    assert set(weights) == set(ORDER)
    before = load_faces(tmp_path / "run" / "recogniser" / "model")[1]["recogniser"]
    jax.tree.map(np.testing.assert_array_equal, before, weights["recogniser"])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of all five networks as they are before training."""
    folder = tmp_path_factory.mktemp("faces") / "model"
    shapes = write_small(folder.with_name("shapes.json"))
    weights = {}
    for part in ORDER:
        config = TrainConfig(stage=part, random_base=shapes)
        weights |= load_face_base(config, STAGES[part], world_info()).weights
    save_faces(folder, SMALL, weights)
    return folder


def test_the_exported_pack_is_one_for_insightface(drawn, tmp_path):
    report = export_face_pack(drawn, tmp_path / "pack", lambda text: None)
    assert all(part["difference"] <= TOLERANCE for part in report.values())
    pack = FacePack.load(tmp_path / "pack")
    assert pack.landmark_sets == (5, 106)
    assert not pack.unused
    picture = np.full((64, 64, 3), 90, np.uint8)
    pack.detect(picture)  # whatever it finds
    judges = open_pack(tmp_path / "pack")
    points = np.array([[20.0, 25], [40, 25], [30, 35], [22, 45], [38, 45]], np.float32)
    face = Detection(np.array([10, 10, 50, 50], np.float32), points, 0.9)
    assert np.linalg.norm(judges.embedding(picture, face)) == pytest.approx(1, abs=1e-5)
    expression, turn = judges.motion(picture, face)
    assert 0 <= min(expression, turn) <= max(expression, turn) < 7
    assert all(face.embedding.shape == (512,) for face in JudgeLooker(judges)(picture))
    assert judges.fingerprint == open_pack(tmp_path / "pack").fingerprint


def test_what_is_missing_or_misshaped_is_named(drawn, tmp_path):
    config, weights = load_faces(drawn)
    save_faces(tmp_path / "two", config, {part: weights[part] for part in ORDER[:2]})
    with pytest.raises(MissingPartError, match="lacks landmarks, judge_recogniser"):
        export_face_pack(tmp_path / "two", tmp_path / "pack")
    with pytest.raises(WeightsError, match=r"no face_nets\.json"):
        export_face_pack(tmp_path, tmp_path / "pack")
    save_faces(tmp_path / "other", replace(config, embedding=7), weights)
    with pytest.raises(WeightsError, match=r"expected .*7"):
        load_faces(tmp_path / "other")
    (tmp_path / "other" / "notes").write_text("")
    (tmp_path / "other" / "face_nets.json").unlink()
    with pytest.raises(OutputError, match="not overwritten"):
        save_faces(tmp_path / "other", config, weights)
