"""Training as a whole on the smallest model: what a run changes, and what survives an interruption."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from fake_dataset import fake_records

from dynamicid_jax.config import (
    CheckpointConfig,
    DataConfig,
    LogConfig,
    LossConfig,
    ModelChanges,
    OptimizerConfig,
    SourceConfig,
    TrainConfig,
)
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.data.dataset import write_dataset
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.errors import DynamicIDError, InputError, TrainingError
from dynamicid_jax.inference.random_model import nano_config, random_weights
from dynamicid_jax.training import loop
from dynamicid_jax.training.checkpoint import Checkpoints
from dynamicid_jax.training.loop import train
from dynamicid_jax.training.writers import read_metrics
from dynamicid_jax.trees import flatten

STEPS = 5


def _unit(seed):
    values = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    return values / np.linalg.norm(values)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """8 persons to train on, 4 held out, 3 pictures of each."""
    folder = tmp_path_factory.mktemp("data") / "people"
    records = {
        split: [
            replace(one, embedding=_unit(hash(one.person) % 2**31))
            for one in fake_records(count, 3, first)
        ]
        for split, count, first in (("train", 8, 0), ("validation", 4, 50))
    }
    write_dataset(folder, records, DatasetInfo(landmark_set=5))
    return folder


@pytest.fixture(scope="module")
def recipe(dataset):
    return TrainConfig(
        random_base="nano",
        batch_size=8,
        steps=STEPS,
        dtype="float32",
        data=DataConfig((SourceConfig(str(dataset)),), image_size=32, workers=0),
        optimizer=OptimizerConfig(warmup=0, ema_decay=0.5),
        checkpoint=CheckpointConfig(every=2, keep=10, max_bad_steps=2),
        log=LogConfig(every=1, pictures_every=0, heldout_every=STEPS, tensorboard=False),
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """An unbroken run."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train(recipe, workdir)


def _final(workdir):
    checkpoints = Checkpoints(workdir / "checkpoints")
    found = checkpoints.restore()
    checkpoints.close()
    return found


def _assert_same(one, other):
    for path, leaf in flatten(one.state).items():
        np.testing.assert_array_equal(leaf, flatten(other.state)[path], err_msg=path)


def test_a_run_tells_what_it_did(run):
    workdir, report = run
    assert report["status"] == "finished"
    assert report["updates"]["done"] == STEPS
    lines = read_metrics(workdir)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]
    for name in ("grad_norm", "param_norm", "gate_inside", "gate_open", "speed/images_per_second"):
        assert np.isfinite([line[name] for line in lines if "loss" in line]).all(), name
    held_out = report["held-out"]
    assert held_out["records"] == 12
    assert held_out["heldout/change_low"] < held_out["heldout/change"] < 0  # it learns


def test_only_what_a_stage_trains_changes(run):
    workdir, _ = run
    model = load_any(workdir / "model", place=np.asarray)
    before = random_weights(nano_config())
    assert model.config.weights == "trained"
    for part, tree in model.weights.items():
        same = [
            np.array_equal(leaf, flatten(before[part])[path])
            for path, leaf in flatten(tree).items()
        ]
        assert all(same) != (part in ("adapter", "face_projection")), part


def test_what_a_recipe_freezes_by_name_stays(recipe, tmp_path):
    train(replace(recipe, freeze=("lora", "face_projection/id_in"), steps=2), tmp_path)
    model = load_any(tmp_path / "model", place=np.asarray)
    before = flatten(random_weights(nano_config()))
    for path, leaf in flatten(model.weights).items():
        trains = path.split("/")[0] in ("adapter", "face_projection")
        frozen = not trains or "lora" in path or "face_projection/id_in" in path
        assert np.array_equal(leaf, before[path]) == frozen, path


def test_a_broken_run_goes_on_bit_for_bit(run, recipe, tmp_path):
    train(replace(recipe, steps=3), tmp_path)
    report = train(recipe, tmp_path)
    assert report["updates"] == {"done": STEPS, "of": STEPS, "before this session": 3}
    _assert_same(_final(tmp_path), _final(run[0]))


def test_another_recipe_in_a_used_folder_is_refused_by_key(run, recipe):
    changed = replace(recipe, seed=1, optimizer=replace(recipe.optimizer, learning_rate=2e-4))
    with pytest.raises(InputError, match=r"optimizer\.learning_rate .* seed"):
        train(changed, run[0])


def _poisoned(steps):
    """`put_batch` that spoils the batches of some steps."""
    real, count = loop.put_batch, [0]

    def put(batch, mesh):
        count[0] += 1
        if count[0] in steps:
            batch = {**batch, "id_embedding": batch["id_embedding"] * np.nan}
        return real(batch, mesh)

    return put


@pytest.mark.parametrize(("minutes", "kept"), [(1e-9, {1, 2, 3}), (60.0, {3}), (0.0, {3})])
def test_a_checkpoint_is_due_after_some_time_too(recipe, tmp_path, minutes, kept):
    limits = CheckpointConfig(every=0, minutes=minutes, keep=10)
    train(replace(recipe, steps=3, checkpoint=limits), tmp_path)
    assert {int(one.name) for one in (tmp_path / "checkpoints").iterdir()} == kept


def test_a_nan_is_skipped_and_counted(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "put_batch", _poisoned({3}))
    report = train(replace(recipe, steps=3, checkpoint=CheckpointConfig(every=1)), tmp_path)
    assert report["trouble"]["skipped updates"] == 1
    after = _final(tmp_path)
    assert int(after.state["step"]) == 3
    monkeypatch.undo()
    train(replace(recipe, steps=2), tmp_path / "two")
    before = _final(tmp_path / "two")
    for part in ("trained", "opt_state", "ema"):
        for path, leaf in flatten({part: before.state[part]}).items():
            np.testing.assert_array_equal(leaf, flatten(after.state)[path], err_msg=path)


def test_nans_in_a_row_end_the_run_with_the_records_names(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "put_batch", _poisoned({2, 3, 4, 5}))
    with pytest.raises(TrainingError, match=r"2 updates in a row.*person"):
        train(recipe, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage": "anchor"}, "anchoring"),
        ({"batch_size": 12}, "multiple of 8"),
        ({"data": DataConfig()}, "dynamicid prepare"),
        ({"random_base": ""}, "--config.base="),
        ({"stage": "reconfiguration", "loss": LossConfig(min_persons=9)}, "at least 9 persons"),
        ({"model": ModelChanges(lora_rank=3)}, "adapter does not fit"),
        ({"model": ModelChanges(guidance_scale=-1.0)}, "guidance_scale: expected a finite number"),
        ({"freeze": ("lora", "lore")}, "no weight of adapter, face_projection has 'lore'"),
        ({"freeze": ("adapter", "face_projection")}, "leaves nothing"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_in_one_line(recipe, tmp_path, changes, words):
    with pytest.raises(DynamicIDError, match=words) as error:
        train(replace(recipe, **changes), tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_every_stage_trains(recipe, tmp_path):
    loss = LossConfig(targets=2)
    parts = replace(recipe.optimizer, accumulation=2)
    stages = {
        "autoencoder": {},
        "base": {},
        "reconfiguration": {"loss": loss, "optimizer": parts},
    }
    for stage, changes in stages.items():
        report = train(replace(recipe, stage=stage, steps=2, **changes), tmp_path / stage)
        assert np.isfinite(report["final"]["loss"]), stage
        assert json.loads((tmp_path / stage / "config.json").read_text())["stage"] == stage
    assert jax.device_count() == 8
