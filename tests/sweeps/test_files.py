"""Sweep files: what may be in one, and that all that can be wrong in one is a single line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.sweeps.files import read_sweep

HEAD = "from dynamicid_jax.sweeps.space import Between, Sweep, Trial, grid, random\ndef get_sweep():\n    return "


def test_changes_alone_are_a_sweep_of_recipes_to_be_named(tmp_path: Path):
    file = tmp_path / "sweep.py"
    file.write_text("def get_sweep():\n    for seed in range(3):\n        yield {'seed': seed}\n")
    sweep = read_sweep(file)
    assert [trial.changes for trial in sweep.trials] == [{"seed": seed} for seed in range(3)]
    assert sweep.recipes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("x = 1", r"has no get_sweep\(\)"),
        ("def get_sweep(:", "line 1 is no Python"),
        (HEAD + "[]", "has no trials"),
        (HEAD + "7", r"gave a int; expected a Sweep"),
        (HEAD + "['steps']", r"gave a list; expected a Sweep"),
        (HEAD + "Sweep((), ())", "has no trials"),
        (HEAD + "Sweep((), (Trial('a'), Trial('a')))", "two trials are called 'a'"),
        (HEAD + "Sweep((), (Trial('../a'),))", "expected a name of letters"),
        (HEAD + "Sweep((), (Trial('a'),), references={'*': 'b'})", "reference 'b': expected"),
        (HEAD + "Sweep((), (Trial('a'),), published={'b': {'x': 1.0}})", "published 'b': expected"),
        ("import nosuch", "line 1: ModuleNotFoundError: No module named 'nosuch'"),
        ("x = 1\nget_sweep = nosuch", "line 2: NameError"),
        ("def get_sweep():\n    return {}['x']", "line 2: KeyError: 'x'"),
        (
            "def get_sweep():\n    yield {'seed': 1}\n    raise ValueError('a\\nb')",
            "line 3: .*: a b",
        ),
        ("raise SystemExit(3)", "line 1: SystemExit"),
        ("get_sweep = 3", r"has no get_sweep\(\)"),
        ("def get_sweep(a):\n    return a", "missing 1 required"),
        ("\x00", "is no Python"),
        (HEAD + "{'seed': 1}", "gave a dict"),
        (HEAD + "[{1: 2}]", "gave a list"),
        (HEAD + "Sweep(('a.py', 'b/a.py'), (Trial('a'),))", "2 recipes are called 'a'"),
        (HEAD + "Sweep((), (Trial('a', {'x': object()}),))", "changes: x: expected a number"),
        (HEAD + "Sweep((), (Trial('a', evaluate={'out': 'x'}),))", "out is the sweep's own"),
        (HEAD + "Sweep((), (Trial('a', evaluate={'x': [1]}),))", "x: expected a word or a number"),
        (HEAD + "Sweep((), (Trial('a' * 200),))", "expected at most 100 characters"),
        (HEAD + "Sweep((), (Trial('report.md'),))", "no ending of a file"),
        (HEAD + "Sweep((), (Trial('a'), Trial('b')))", "trials 'a' and 'b' have the same"),
        (HEAD + "Sweep((), grid({'seed': (1, 1)}))", "have the same recipes"),
        (HEAD + "Sweep((), grid({'seed': {1: 2}}))", "line 3: grid: seed: expected a list"),
        (HEAD + "Sweep((), random({'x': Between(0, 1, log=True)}, 3))", "line 3: Between.*above 0"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str | None, message: str):
    file = tmp_path / "sweep.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_sweep(file)
    assert "\n" not in str(error.value)


KINDS = {
    "Sweep('a.py', (Trial('a'),))": "recipes: expected a list of file names, got 'a.py'",
    "Sweep((), {'a': 1})": "trials: expected a list of Trials, got {'a': 1}",
    "Sweep((), (x for x in (Trial('a'),)))": "trials: expected a list of Trials",
    "Sweep((), (Trial(3),))": "trial 3: expected a name",
    "Sweep((), (Trial('a', [1]),))": "trial 'a': changes: expected {key: value}, got [1]",
    "Sweep((), (Trial('a', recipes='a.py'),))": "trial 'a': recipes: expected a list of file names",
    "Sweep((), (Trial('a', evaluate=[1]),))": "trial 'a': evaluate: expected {option: value}",
    "Sweep((), (Trial('a'),), shown='abc')": "shown: expected a list of words, got 'abc'",
    "Sweep((), (Trial('a'),), references=['a'])": "references: expected {pattern: trial}",
    "Sweep((), (Trial('a'),), published={'a': 1})": "published: expected {trial: {measure: difference}}",
    "Sweep((), random({'x': Between('a', 1)}, 3))": "Between('a', 1): expected two finite numbers",
    "Sweep((), random({'x': (1, 2)}, 'many'))": "random: count 'many', seed 0: expected whole numbers",
}
CHILD = """
import json, sys
from pathlib import Path
from dynamicid_jax.errors import InputError
from dynamicid_jax.sweeps.files import read_sweep
said, file = [], Path(sys.argv[1])
for text in json.load(sys.stdin):
    file.write_text(text)
    try:
        read_sweep(file)
        said.append("")
    except InputError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_values_of_the_wrong_kind_are_one_line(tmp_path: Path):
    """In a process without the types that tests enforce, as users have it."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "sweep.py")],
        input=json.dumps([HEAD + text for text in KINDS]),
        capture_output=True,
        text=True,
        check=True,
    )
    for told, wanted in zip(json.loads(done.stdout), KINDS.values(), strict=True):
        assert wanted in told
        assert "\n" not in told


def test_rows_that_differ_in_recipes_or_evaluation_alone_are_no_doubles(tmp_path: Path):
    file = tmp_path / "sweep.py"
    trials = "Trial('a'), Trial('b', recipes=('x.py',)), Trial('c', evaluate={'steps': 2})"
    file.write_text(HEAD + f"Sweep(('y.py',), ({trials}))")
    assert len(read_sweep(file).trials) == 3
    file.write_text(HEAD + f"Sweep(('y.py',), ({trials}, Trial('d', recipes=('y.py',))))")
    with pytest.raises(InputError, match="trials 'a' and 'd' have the same"):
        read_sweep(file)
