"""A run's folder and the recipe in it, over versions of the library."""

import json
from dataclasses import replace

import pytest
from etils import epath

from dynamicid_jax.config import DataConfig, LossConfig, SourceConfig, TrainConfig
from dynamicid_jax.errors import InputError
from dynamicid_jax.training.recipe import NAME, check_same, keep_recipe

RECIPE = TrainConfig(data=DataConfig((SourceConfig("world/portraits"),)))


@pytest.fixture
def folder(tmp_path):
    keep_recipe(epath.Path(tmp_path), RECIPE)
    return epath.Path(tmp_path)


def _without_new_keys(folder):
    """As a version wrote it that did not know these keys yet."""
    values = json.loads((folder / NAME).read_text())
    for part, key in (
        (values, "freeze"),
        (values["loss"], "twin_weight"),
        (values["data"]["sources"][0], "silent"),
    ):
        del part[key]
    (folder / NAME).write_text(json.dumps(values))


def test_a_folder_of_an_older_version_goes_on_with_what_it_did(folder):
    _without_new_keys(folder)
    check_same(folder, RECIPE)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        (replace(RECIPE, freeze=("lora",)), "freeze"),
        (replace(RECIPE, loss=LossConfig(twin_weight=5.0)), "loss.twin_weight"),
        (replace(RECIPE, batch_size=3), "batch_size"),
    ],
)
def test_and_with_nothing_else(folder, changed, key):
    _without_new_keys(folder)
    with pytest.raises(InputError, match=rf"another recipe; changed: {key} \(was "):
        check_same(folder, changed)


def test_a_folder_of_a_newer_version_says_which_key_is_unknown(folder):
    values = json.loads((folder / NAME).read_text())
    values["loss"]["of_tomorrow"] = 1
    (folder / NAME).write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"of_tomorrow"):
        check_same(folder, RECIPE)
