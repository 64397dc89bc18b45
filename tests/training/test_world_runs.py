"""Runs on drawn people: what they are asked and shown from time to time, on the smallest model."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from face_nets import SMALL, write_small

from dynamicid_jax.config import DataConfig, LogConfig, LossConfig, SourceConfig, TrainConfig
from dynamicid_jax.convert.face_folder import save_faces
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.world import HELDOUT_FIRST, WorldLoader, world_info
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.training.chain import run_chain
from dynamicid_jax.training.face_base import load_face_base
from dynamicid_jax.training.progress_checks import Checks
from dynamicid_jax.training.report import curve_pictures
from dynamicid_jax.training.rises import look_curves, rise_curves
from dynamicid_jax.training.setup import set_up
from dynamicid_jax.training.sharding import put_batch
from dynamicid_jax.training.shown import world_pictures
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.training.tiles import GAP, TILE
from dynamicid_jax.world.captions import ATTRIBUTES
from dynamicid_jax.world.twins import LOOKS

RISES = ("swapped_rise", *(f"rise_{one}" for one in (*ATTRIBUTES, *LOOKS)))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Face networks as they are before training, in a folder."""
    folder = tmp_path_factory.mktemp("faces")
    config = TrainConfig(stage="recogniser", random_base=write_small(folder / "shapes.json"))
    save_faces(
        folder / "model", SMALL, load_face_base(config, STAGES["recogniser"], world_info()).weights
    )
    return str(folder / "model")


@pytest.fixture(scope="module")
def recipe(faces):
    portraits = (SourceConfig("world/portraits"),)
    return TrainConfig(
        random_base="nano",
        batch_size=8,
        steps=2,
        dtype="float32",
        data=DataConfig(portraits, image_size=32, face_nets=faces, workers=0),
        loss=LossConfig(targets=2),
        log=LogConfig(
            every=1, pictures_every=2, pictures=2, picture_steps=2, heldout_every=1,
            heldout_batches=1, tensorboard=False,
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def setup(recipe):
    ready = set_up(recipe)
    yield ready
    ready.loader.close()


@pytest.fixture(scope="module")
def best(setup):
    return setup.fresh_state().best


def test_the_rise_of_every_attribute_is_measured_whole_and_inside_faces(setup, best):
    values = Checks(setup).heldout(0, best)
    for name in (*RISES, *(f"face_{one}" for one in RISES)):
        mean, low, high = (values[f"heldout/{name}{end}"] for end in ("", "_low", "_high"))
        assert low <= mean <= high, name
    assert all(values[f"heldout/rise_{one}"] != 0 for one in (*ATTRIBUTES, *LOOKS))
    assert values["heldout/face_loss"] != values["heldout/loss"]


def test_a_variant_that_changes_nothing_does_not_make_the_loss_rise(setup, best):
    own = setup.heldout.losses(setup.frozen, best)
    same = setup.heldout.losses(setup.frozen, best, dict)
    for name, rows in own.items():
        np.testing.assert_array_equal(rows, same[name])


def test_latents_that_are_kept_say_what_pictures_do(setup, best):
    held = setup.heldout
    own = held.losses(setup.frozen, best)
    key = jax.random.key_data(jax.random.fold_in(jax.random.key(setup.config.seed + 1), 0))
    pixels = put_batch(held._batches[0], setup.mesh)
    assert "pixels" in pixels
    for name, rows in held._rows(setup.frozen, best, pixels, key).items():
        np.testing.assert_allclose(own[name], rows, rtol=1e-5)


@pytest.mark.slow
def test_the_loss_inside_faces_costs_no_second_pass(setup, best):
    """Flops of one program with both losses are those of the loss alone, but for the last mean."""
    held = setup.heldout
    batch = held._batches[0]
    alone = {name: value for name, value in batch.items() if name != "face_box"}
    key = np.zeros(2, np.uint32)
    flops = [
        held._rows.lower(setup.frozen, best, one, key).compile().cost_analysis()["flops"]
        for one in (batch, alone)
    ]
    assert flops[0] < 1.01 * flops[1]


def test_the_sheet_is_drawn_again_by_a_session_that_goes_on(setup, recipe, best):
    sheet = Checks(setup).draw(1, best)
    other = set_up(replace(recipe, log=replace(recipe.log, heldout_every=0)))
    other.loader.close()
    again = Checks(other).draw(1, best)
    assert sheet.size[0] == 4 * (TILE + GAP) + GAP  # reference, picture, drawn, gate
    assert np.array_equal(sheet, again)


def test_held_out_people_are_shown_once_and_the_first_in_other_motions(monkeypatch):
    source = SourceConfig("world/variface", people=5)
    loader = WorldLoader(source, BatchSpec(("pixels",), 8), batch_size=8, seed=0, heldout=True)

    def black(numbers):
        return {"pixels": np.zeros((len(numbers), 8, 8, 3), np.uint8)}

    monkeypatch.setattr(loader, "pictures", black)
    shown = world_pictures(loader, 3)
    loader.close()
    assert [one.person for one in shown.records] == [f"train-{HELDOUT_FIRST + i}" for i in range(3)]
    assert {one.person for one in shown.motions} == {shown.records[0].person}
    cells = [one.studio_cell for one in (shown.records[0], *shown.motions)]
    assert len(set(cells)) == 5


def test_a_look_changes_what_is_shown_of_the_face_and_nothing_else(setup):
    variants, batch = setup.heldout.variants, setup.heldout._batches[0]
    photos = []
    for one in LOOKS:
        wrong = variants[f"rise_{one}"](batch)
        changed = {name for name in batch if not np.array_equal(batch[name], wrong[name])}
        assert changed == {"reference", "id_embedding"}
        photos.append(wrong["reference"])
    assert len({photo.tobytes() for photo in photos}) == len(LOOKS)


def test_a_curve_begins_where_a_rise_is_sure():
    def line(step, rise):
        ends = {"": rise, "_low": rise - 0.1, "_high": rise + 0.1}
        return {"step": step} | {
            f"heldout/rise_{one}{end}": value * (one != "pose")
            for one in ATTRIBUTES
            for end, value in ends.items()
        }

    lines = [line(0, 0.01), {"step": 1, "loss": 1.0}, line(2, 0.5)]
    curves = {curve.name: curve for curve in rise_curves(lines)}
    np.testing.assert_array_equal(curves["shirt"].x, [0, 2])
    np.testing.assert_array_equal(curves["shirt"].y, [np.nan, 0.5])
    assert np.isnan(curves["pose"].y).all()
    assert rise_curves(lines[:2]) == rise_curves(lines, "face_") == look_curves(lines) == []


def test_looks_have_curves_and_a_picture_of_their_own():
    def line(step):
        names = [f"heldout/face_rise_{one}{end}" for one in LOOKS for end in ("", "_low", "_high")]
        return {"step": step} | dict.fromkeys(names, 0.1 + step)

    lines = [line(0), line(2)]
    curves = look_curves(lines)
    assert [curve.name for curve in curves][:2] == ["skin", "hair colour"]
    assert len(curves) == len(LOOKS)
    assert "look_rises.png" in curve_pictures(lines, "anchoring")


@pytest.mark.slow  # four training steps and their samplers to compile
def test_every_stage_runs_on_drawn_people_with_pictures(recipe, tmp_path):
    base = write_random_model(
        tmp_path / "base", "nano", imr=None, keypoint_encoder=None, weights="random"
    )
    recipe = replace(recipe, base=str(base), random_base="")
    kinds = {
        "autoencoder": "world/scenes",
        "base": "world/scenes",
        "anchoring": "world/portraits",
        "reconfiguration": "world/variface",
    }
    recipes = [
        (
            stage,
            replace(
                recipe,
                stage=stage,
                data=replace(recipe.data, sources=(SourceConfig(kind, people=64),)),
            ),
        )
        for stage, kind in kinds.items()
    ]
    reports = run_chain(recipes, tmp_path / "run", lambda text: None)
    assert [report["status"] for report in reports] == ["finished"] * 4
    for stage in kinds:
        # before the first step, and after the last
        assert len(list((tmp_path / "run" / stage).rglob("*samples.png"))) == 2
    assert "| rise shirt |" in (tmp_path / "run" / "base" / "report.md").read_text()
