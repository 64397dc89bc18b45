"""Runs on drawn people: what they are shown and asked from time to time, on the smallest model."""

import numpy as np
import pytest
from face_nets import SMALL, write_small

from dynamicid_jax.config import DataConfig, LogConfig, OptimizerConfig, SourceConfig, TrainConfig
from dynamicid_jax.convert.face_folder import save_faces
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.world import world_info, world_source
from dynamicid_jax.training.chain import heldout_curves
from dynamicid_jax.training.face_base import load_face_base
from dynamicid_jax.training.loop import train
from dynamicid_jax.training.progress_checks import Checks
from dynamicid_jax.training.rises import rise_curves
from dynamicid_jax.training.setup import set_up
from dynamicid_jax.training.shown import world_pictures
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.training.tiles import GAP, TILE
from dynamicid_jax.training.writers import read_metrics
from dynamicid_jax.world.captions import ATTRIBUTES

PICTURES = 2


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    config = TrainConfig(stage="recogniser", random_base=write_small(folder / "shapes.json"))
    weights = load_face_base(config, STAGES["recogniser"], world_info()).weights
    save_faces(folder / "model", SMALL, weights)
    return folder / "model", weights


@pytest.fixture(scope="module")
def recipe(faces):
    return TrainConfig(
        stage="anchoring",
        random_base="nano",
        batch_size=8,
        steps=2,
        dtype="float32",
        data=DataConfig(
            (SourceConfig("world/portraits"),), image_size=32, face_nets=str(faces[0]), workers=0
        ),
        optimizer=OptimizerConfig(warmup=0),
        log=LogConfig(
            every=1,
            pictures_every=2,
            pictures=PICTURES,
            picture_steps=2,
            heldout_every=1,
            heldout_batches=1,
            tensorboard=False,
        ),
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train(recipe, workdir)


@pytest.fixture(scope="module")
def setup(recipe):
    ready = set_up(recipe)
    yield ready
    ready.loader.close()


def test_a_run_tells_the_rise_of_every_attribute(run):
    workdir, report = run
    held = report["held-out"]
    names = ["swapped_rise", *(f"rise_{one}" for one in ATTRIBUTES)]
    for name in [*names, *(f"face_{one}" for one in names)]:
        mean, low, high = (held[f"heldout/{name}{end}"] for end in ("", "_low", "_high"))
        assert low <= mean <= high, name
    assert any(held[f"heldout/rise_{one}"] != 0 for one in ATTRIBUTES)
    assert held["heldout/face_loss"] != held["heldout/loss"]
    lines = read_metrics(workdir)
    assert len(heldout_curves(lines)) == 2
    text = (workdir / "report.md").read_text()
    assert "## Held-out records" in text
    assert "| rise expression |" in text


def test_a_variant_that_changes_nothing_does_not_make_the_loss_rise(setup):
    held, best = setup.heldout, setup.fresh_state().best
    own = held.losses(setup.frozen, best)
    same = held.losses(setup.frozen, best, dict)
    wrong = held.losses(setup.frozen, best, held.variants["rise_expression"])
    for name, rows in own.items():
        np.testing.assert_array_equal(rows, same[name])
        assert not np.array_equal(rows, wrong[name])


def test_the_sheet_of_a_run_is_drawn_again_by_one_that_goes_on(run, recipe, setup):
    checks = Checks(setup)
    sheet = checks.draw(1, setup.fresh_state().best)
    again = Checks(replace_setup(recipe)).draw(1, setup.fresh_state().best)
    assert sheet.size[0] == 4 * (TILE + GAP) + GAP  # reference, picture, drawn, gate
    assert np.array_equal(sheet, again)
    assert len(list((run[0]).rglob("*samples*"))) == 1


def replace_setup(recipe):
    """The same run, set up by another session."""
    other = set_up(recipe)
    other.loader.close()
    return other
