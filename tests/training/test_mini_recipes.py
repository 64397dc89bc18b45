"""Shrunken copies of the mini model's recipes take two steps each; the budgets name recipes and keys that exist."""

import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from face_nets import write_small

from dynamicid_jax.config import TrainConfig, read_recipe
from dynamicid_jax.convert.face_folder import save_faces
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.data.world import world_info
from dynamicid_jax.errors import InputError
from dynamicid_jax.training import setup
from dynamicid_jax.training.face_base import load_face_base
from dynamicid_jax.training.loop import train
from dynamicid_jax.training.mini import read_budget
from dynamicid_jax.training.quiet_start import gate_leanings
from dynamicid_jax.training.sharding import make_mesh
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.training.state import join
from dynamicid_jax.trees import flatten

RECIPES = Path(__file__).parents[2] / "configs" / "mini"
ORDER = ("autoencoder", "clip", "base", "anchoring", "reconfiguration")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    config = TrainConfig(stage="recogniser", random_base=write_small(folder / "shapes.json"))
    base = load_face_base(config, STAGES["recogniser"], world_info())
    save_faces(folder / "model", base.config, base.weights)
    return str(folder / "model")


def shrunken(name: str, faces: str) -> TrainConfig:
    """The recipe on the smallest model: everything that is not size or time stays."""
    config = read_recipe(RECIPES / f"{name}.py")
    source = replace(config.data.sources[0], people=64)
    anew = config.model.anew
    return replace(
        config,
        base="",
        random_base="nano",
        batch_size=8,
        steps=2,
        data=replace(config.data, sources=(source,), image_size=32, face_nets=faces, workers=0),
        model=replace(config.model, shapes="nano" if anew else ""),
        loss=replace(config.loss, targets=min(config.loss.targets, 1)),
        log=replace(config.log, every=1, heldout_every=0, pictures_every=0),
    )


@pytest.mark.parametrize("name", ORDER)
def test_a_shrunken_recipe_takes_two_steps(name, faces, tmp_path, monkeypatch):
    # On one device: how a batch is cut over several is tested elsewhere, and takes longer to compile.
    monkeypatch.setattr(setup, "make_mesh", partial(make_mesh, devices=jax.devices()[:1]))
    config = shrunken(name, faces)
    config = replace(config, model=replace(config.model, guidance_scale=1.8))
    report = train(config, tmp_path)
    assert report["updates"]["done"] == 2
    assert report["final"]["loss"] > 0
    after = load_any(tmp_path / "model", place=np.asarray)
    trained = STAGES[config.stage].trains
    assert all(np.isfinite(leaf).all() for leaf in flatten(after.weights).values())
    assert set(trained) <= set(after.weights)
    assert after.config.sampling.guidance_scale == 1.8


def test_a_quiet_start_adds_nothing_and_no_gate_leans_away_from_the_faces(faces, monkeypatch):
    monkeypatch.setattr(setup, "make_mesh", partial(make_mesh, devices=jax.devices()[:1]))
    # LoRA held still: a state that lacks a part of the adapter
    ready = setup.set_up(replace(shrunken("anchoring", faces), freeze=("lora",)))
    weights = join(ready.frozen["weights"], ready.fresh_state().trained)
    batch, constants = next(iter(ready.loader)).batch, ready.frozen["constants"]
    ready.loader.close()
    networks, one = ready.program.networks, ready.program.networks.config.face_projection
    clean = jax.random.normal(jax.random.key(1), (2, 8, 8, networks.config.unet.in_channels))
    text = jax.numpy.zeros((2, 4, one.context_width))

    @jax.jit
    def predicted(seed: int) -> jax.Array:
        shape = (2, 1, one.tokens_per_person, one.context_width)
        tokens = jax.random.normal(jax.random.key(seed), shape)
        return networks.predict(weights, clean, jax.numpy.full(2, 300), text, tokens)[0]

    np.testing.assert_array_equal(predicted(2), predicted(3))
    key = jax.random.key(ready.config.seed)
    leanings = flatten(jax.jit(partial(gate_leanings, networks))(weights, constants, batch, key))
    assert len(leanings) > 1
    assert min(leanings.values()) >= 0


def test_a_quiet_start_is_of_anchoring_only():
    config = read_recipe(RECIPES / "anchoring.py", ["stage='base'"])
    with pytest.raises(InputError, match=r"quiet_start.*anchoring"):
        setup.find_stage(config)


@pytest.mark.parametrize("budget", ["gpu", "cores"])
def test_budgets_name_recipes_and_keys_that_exist(budget):
    groups = read_budget(RECIPES, budget)
    names = [part.name for group in groups for part in group]
    assert names[-3:] == ["base", "anchoring", "reconfiguration"]
    for group in groups:
        assert len({part.minutes for part in group}) == 1  # they end together
        for part in group:
            changes = [f"{key}={value!r}" for key, value in part.changes.items()]
            config = read_recipe(RECIPES / part.recipe, changes)
            assert config.stage in STAGES


def test_a_budget_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no budgets\.py there"):
        read_budget(tmp_path, "gpu")
    with pytest.raises(InputError, match="expected one of gpu, cores"):
        read_budget(RECIPES, "tpu")


def test_people_of_anchoring_are_alone_and_those_of_base_are_not():
    kinds = {
        name: runpy.run_path(str(RECIPES / f"{name}.py"))["get_config"]().data.sources[0]["path"]
        for name in ORDER
    }
    assert (
        kinds["anchoring"] == "world/portraits"
    )  # METHOD: no picture of two people is ever needed
    assert kinds["base"] == "world/scenes"
    assert kinds["reconfiguration"] == "world/variface"
