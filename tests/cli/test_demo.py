"""`dynamicid demo`, on a random model and a fake face pack in the place of the package's own."""

import shutil
from dataclasses import replace
from pathlib import Path

import fake_face_pack as fake
import jax
import numpy as np
import pytest
from PIL import Image

from dynamicid_jax import DynamicIDPipeline, packaged
from dynamicid_jax.cli import demo_scene
from dynamicid_jax.cli.main import main
from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.inference.random_model import CONFIGS, nano_config, write_random_model
from dynamicid_jax.inference.recipe import read_recipe
from dynamicid_jax.models.configs import ModelConfig, SamplingConfig
from dynamicid_jax.planning.base_shape import base_shape
from dynamicid_jax.training.base_model import load_base
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.world.captions import caption, describe, face_words, phrase_ids
from dynamicid_jax.world.factors import row
from dynamicid_jax.world.scene import BACKGROUNDS, SHIRTS, draw_scene

PHOTOS = packaged.ASSETS / "people"


def least() -> ModelConfig:
    """Its tokens are single bytes, so captions are long."""
    config = nano_config()
    words = replace(config.text_encoder, max_length=220)
    return replace(
        config, text_encoder=words, sampling=SamplingConfig(steps=2, height=64, width=64)
    )


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assets folder with a model: the least one, 8-bit, with a face pack in it."""
    assets = tmp_path_factory.mktemp("assets")
    shutil.copytree(PHOTOS, assets / "people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "mini", least)
        plain = write_random_model(assets / "plain", "mini")
    loaded = load_any(plain, place=np.asarray)
    pack = fake.write_sure_pack(assets / "pack")
    model_folder.save(
        assets / "mini",
        loaded.config,
        loaded.weights,
        loaded.tokenizer_dir,
        pack,
        dtype="int8",
    )
    return assets


@pytest.fixture
def mini(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in, where the package's own model would be."""
    monkeypatch.setattr(packaged, "ASSETS", stand_in)
    return stand_in / "mini"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_mini_is_found_by_its_name_with_its_face_pack(mini: Path) -> None:
    pipe = DynamicIDPipeline.from_pretrained("mini")
    assert pipe.name == "mini"
    assert pipe.face_pack is not None
    assert pipe.face_pack.folder == mini / "face_pack"
    assert len(pipe.person(packaged.photos()["ada"]).quality) == 1


def test_sample_takes_mini(mini: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out.png")
    photo = str(packaged.photos()["ben"])
    more = ["--person", photo, "--face", "happy", "--prompt", "a man", "--out", out]
    assert main(["sample", "--model", "mini", *more]) == 0
    assert read_recipe(out)["model"]["name"] == "mini"


def test_a_training_starts_from_mini(mini: Path) -> None:
    config = TrainConfig(base="mini", stage="anchoring")
    base = load_base(config, STAGES["anchoring"], DatasetInfo(landmark_set=5))
    assert base.fresh == ()
    assert base.config.dtype == "float32"
    kernel = base.weights["unet"]["conv_in"]["kernel"]
    assert (type(kernel), kernel.dtype) == (np.ndarray, np.float32)
    assert base_shape(config) == (model_folder.read_config(mini), "")


def test_scene_and_grid(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo.png"
    assert main(["demo", "--out", str(out), "--people", "3", "--seed", "5"]) == 0
    told = capsys.readouterr()
    names = ["demo-gate_maps.png", "demo-grid.png", "demo-overview.png", "demo.png"]
    assert files(tmp_path) == names
    assert sorted(told.out.split()) == [str(tmp_path / name) for name in names]
    assert told.out.splitlines()[-1] == str(out)
    assert "weights are RANDOM; its pictures are noise" in told.err
    assert "demo: 36 pictures sampled in" in told.err
    recipe = read_recipe(out)
    assert recipe["seed"] == 5
    assert [person["face"] for person in recipe["people"]] == [
        "in a happy expression, in half right view",
        "in a surprise expression, in half left view",
        "in a anger expression, in half left view",
    ]
    assert recipe["prompt"].startswith("three people, on the left in a yellow shirt, in a happy")
    for name in names[:3]:
        with Image.open(tmp_path / name) as sheet:
            assert min(sheet.size) > 150


def test_a_model_of_ones_own_without_face_pack(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.png"
    model = str(mini.with_name("plain"))
    assert main(["demo", "--model", model, "--out", str(out), "--people", "3"]) == 0
    assert files(tmp_path) == ["own-gate_maps.png", "own.png"]
    assert "no face pack" in capsys.readouterr().err


def test_without_the_packaged_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packaged, "ASSETS", tmp_path / "none")
    monkeypatch.setitem(CONFIGS, "mini", least)
    assert main(["demo", "--out", str(tmp_path / "demo.png"), "--people", "3"]) == 0
    assert "comes without the mini model" in capsys.readouterr().err
    assert main(["demo", "--model", "mini", "--out", str(tmp_path / "demo.png")]) == 2
    shown = capsys.readouterr().err
    assert "without the packaged mini model; give a model folder" in shown
    assert shown.count("\n") == 1


def test_grid_says_every_cell_once() -> None:
    prompts = {words.prompt() for words in demo_scene.GRID}
    assert len(prompts) == 35
    assert set(demo_scene.BOXES) == {1, 2, 3}
    assert {role.name for role in demo_scene.ROLES} <= packaged.photos().keys()


def test_captions_in_words_are_the_worlds() -> None:
    """`describe` says what the world's own captions say."""
    seeds = jax.numpy.arange(12)
    scenes = jax.jit(lambda seed: draw_scene(seed, "demo", people=64, places=3, weights=(1, 1, 1)))(
        seeds
    )
    ids = np.asarray(jax.vmap(phrase_ids)(scenes))
    scenes = jax.tree.map(np.asarray, scenes)
    assert set(scenes.heads.tolist()) == {1, 2, 3}
    for k in np.flatnonzero(scenes.distance == scenes.heads - 1):  # nobody further off than need be
        one = row(scenes, int(k))
        people = [
            (SHIRTS[one.shirt[i]], face_words(row(one.move, i))) for i in range(int(one.heads))
        ]
        assert describe(people, BACKGROUNDS[int(one.background)]) == caption(ids[k])
