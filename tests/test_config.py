"""Recipes: every key is read by something, every override is checked."""

import ast
import dataclasses
from pathlib import Path

import pytest

import dynamicid_jax
from dynamicid_jax import config as configs
from dynamicid_jax.config import TrainConfig, from_config_dict, read_recipe, to_config_dict
from dynamicid_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted(
    path
    for path in (ROOT / "configs").rglob("*.py")
    if path.name != "budgets.py" and path.parent.name != "sweeps"
)


def _keys():
    classes = [c for c in vars(configs).values() if dataclasses.is_dataclass(c)]
    return {(one.__name__, f.name) for one in classes for f in dataclasses.fields(one)}


def test_every_key_is_read_somewhere():
    read = set()
    for path in Path(dynamicid_jax.__file__).parent.rglob("*.py"):
        if path.name == "config.py":
            continue
        tree = ast.parse(path.read_text())
        read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    unread = {f"{name}.{key}" for name, key in _keys() if key not in read}
    assert not unread


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_documented(path):
    config = read_recipe(path)
    assert from_config_dict(to_config_dict(config)) == config
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert "python train.py --config" in text or "dynamicid" in text


def test_overrides_reach_every_level():
    path = ROOT / "configs" / "anchoring_sd15.py"
    config = read_recipe(
        path, ["batch_size=16", "optimizer.learning_rate=3e-4", "data.sources=[{'path': 'x'}]"]
    )
    assert (config.batch_size, config.optimizer.learning_rate) == (16, 3e-4)
    assert config.data.sources[0].path == "x"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.learning_rte=1", "did you mean 'learning_rate'"),
        ("steps=many", "steps: expected"),
        ("data.sources=3", "sources"),
        ("batch_size.x=1", "no 'x'"),
        ("dtype=float8", "dtype"),
    ],
)
def test_wrong_overrides_are_named(override, words):
    with pytest.raises(InputError, match=words):
        read_recipe(ROOT / "configs" / "anchoring_sd15.py", [override])


def test_a_missing_recipe_is_one_line():
    with pytest.raises(InputError, match="no such file"):
        read_recipe("configs/none.py")
    assert TrainConfig() == from_config_dict({})


def test_a_recipe_that_is_not_python_is_told_with_its_line(tmp_path):
    recipe = tmp_path / "broken.py"
    recipe.write_text("def get_config():\n    a = 1\n      b = 2\n")
    with pytest.raises(InputError, match=r"broken\.py: line 3 is no Python"):
        read_recipe(recipe)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nosuch\n", "line 1: ModuleNotFoundError"),
        ("def get_config():\n    return {}['x']\n", "line 2: KeyError: 'x'"),
        ("x = 1\n", r"has no get_config\(\)"),
        ("def get_config():\n    return 3\n", "expected a ConfigDict, got int"),
    ],
)
def test_a_recipe_that_does_not_run_is_told_with_its_line(tmp_path, text, words):
    recipe = tmp_path / "broken.py"
    recipe.write_text(text)
    with pytest.raises(InputError, match=words):
        read_recipe(recipe)
