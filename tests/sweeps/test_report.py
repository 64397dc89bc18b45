"""The table of a sweep: sorted, with intervals, config differences only, empty where nothing was run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.written import with_interval
from dynamicid_jax.jobs.job import State, write_state
from dynamicid_jax.sweeps import report
from dynamicid_jax.sweeps.differs import differences
from dynamicid_jax.sweeps.report import wants_most, write_report
from dynamicid_jax.sweeps.space import Sweep, Trial


def measured(value: float, **more: object) -> dict:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "count": 9, **more}


@pytest.fixture
def study(tmp_path: Path) -> tuple[Sweep, Path]:
    """Three trials, of which two have results, and one of these losses."""
    trials = (
        Trial("full", about="all of it"),
        Trial("depth", {"model.imr_depth": 2, "loss.dfm_weight": 0.5}),
        Trial("later", {"model.imr_depth": 3}),
    )
    sweep = Sweep(("configs/some_recipe.py",), trials, {"steps": 5}, shown=("sim", "error"))
    asked = {"cpu": {"least": None, "most": 0.9, "clear": False}}
    for name, sim, error in (("full", 0.25, 0.75), ("depth", 0.5, 0.85)):
        folder = tmp_path / name / "results"
        folder.mkdir(parents=True)
        claims = {
            "sim": measured(sim, title="FaceSim"),
            "error": measured(error, title="token error", **asked),
            "other": measured(0.0),
        }
        (folder / "results.json").write_text(json.dumps({"claims": claims}))
        write_state(tmp_path / name, State(), status="finished", seconds={"train": 90.0})
    run = tmp_path / "depth" / "some_recipe"
    run.mkdir()
    lines = [json.dumps({"step": step, "loss": 1 / (1 + step)}) for step in range(5)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return sweep, tmp_path


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_is_sorted_and_shows_what_differs(study):
    sweep, out = study
    head, _, *rows = cells(write_report(sweep, out))
    assert head == [
        "trial",
        "model.imr_depth",
        "loss.dfm_weight",
        "FaceSim",
        "token error",
        "state",
    ]
    assert rows[0] == [
        "depth",
        "2",
        "0.5",
        "0.500 (0.400 to 0.600)",
        "0.850 (0.750 to 0.950)",
        "finished, 1.5 min",
    ]
    assert [row[0] for row in rows] == ["depth", "full", "later"]
    assert rows[2] == ["later", "3", "", "", "", ""]  # not run: empty
    assert Image.open(out / "curves.png").width > 0
    assert "curves.png" in (out / "report.md").read_text()
    assert json.loads((out / "table.json").read_text())[1]["measured"]["sim"]["value"] == 0.25


def test_what_differs_in_recipes_and_evaluations_is_shown():
    """Only what is not the same in all; what all say alike, and where, is no difference."""
    trials = (
        Trial("full", {"seed": 3}),
        Trial("short", {"seed": 3}, recipes=("a.py",)),
        Trial("ungated", {"seed": 3, "model.gate": False}, evaluate={"no_gate": True, "steps": 5}),
    )
    sweep = Sweep(("a.py", "b.py"), trials, evaluate={"steps": 5})
    assert differences(sweep) == {
        "full": {"model.gate": "", "recipes": "a.py, b.py", "evaluate.no_gate": ""},
        "short": {"model.gate": "", "recipes": "a.py", "evaluate.no_gate": ""},
        "ungated": {"model.gate": False, "recipes": "a.py, b.py", "evaluate.no_gate": True},
    }


def test_signs_are_compared_with_published_ones(study, monkeypatch):
    """The same sign and clear of 0; another sign; a measure nobody took; a row that was not run stays empty."""
    sweep, out = study
    published = {"sim": 0.04, "error": -0.2, "none": 0.1}
    sweep = replace(
        sweep,
        references={"*": "full"},
        published={"depth": published, "later": {"sim": -0.1}, "full": {"sim": 1.0}},
    )
    for name in ("full", "depth"):
        (out / name / "results" / "values.json").write_text("{}")
    sure = {"value": 0.25, "low": 0.1, "high": 0.4, "real": True}
    unsure = {"value": 0.1, "low": -0.1, "high": 0.3, "real": False}
    monkeypatch.setattr(
        report, "compare", lambda one, other: {"differences": {"sim": sure, "error": unsure}}
    )
    text = write_report(sweep, out)
    _, _, *rows = cells(text[text.index("## Signs") :])
    assert rows == [
        ["depth", "full", "FaceSim", "+0.040", "+0.250 (0.100 to 0.400)", "yes", "yes"],
        ["depth", "full", "token error", "-0.200", "+0.100 (-0.100 to 0.300)", "no", "no"],
        ["depth", "full", "none", "+0.100", "", "", ""],
        ["later", "full", "FaceSim", "-0.100", "", "", ""],
    ]
    assert "1 of 2 measured differences have the published sign, 1 of them" in text
    kept = {row["trial"]: row["signs"] for row in json.loads((out / "table.json").read_text())}
    assert kept["depth"]["sim"] == {"published": 0.04, "same": True, "clear": True}
    assert kept["later"]["sim"] == {"published": -0.1, "same": None, "clear": None}


def test_a_measure_that_should_be_small_is_sorted_upwards(study):
    sweep, out = study
    assert [row[0] for row in cells(write_report(sweep, out, "error"))[2:]] == [
        "full",
        "depth",
        "later",
    ]
    assert not wants_most({"cpu": None, "gpu": {"least": None, "most": 0.1}})
    with pytest.raises(
        InputError, match=r"--sort sum: no trial has it; there are sim, error, other"
    ):
        write_report(sweep, out, "sum")


def test_before_anything_is_run_the_table_is_empty(study, tmp_path):
    sweep, _ = study
    head, _, *rows = cells(write_report(sweep, tmp_path / "new"))
    assert head == ["trial", "model.imr_depth", "loss.dfm_weight", "state"]
    assert [row[-1] for row in rows] == ["", "", ""]


def test_what_could_not_be_measured_is_empty():
    assert with_interval(None) == with_interval({"value": None, "low": None, "high": None}) == ""
    assert with_interval({"value": 0.5, "low": None, "high": None}) == "0.500"


def test_a_row_is_compared_with_its_reference_picture_by_picture(study, monkeypatch):
    """The comparison itself is evaluation/compare.py's; here: who is compared, and what is shown of it."""
    sweep, out = study
    sweep = replace(sweep, references={"*": "full"})
    for name in ("full", "depth"):
        (out / name / "results" / "values.json").write_text("{}")
    asked = []

    def compared(one: Path, other: Path) -> dict:
        asked.append((one.parent.name, other.parent.name))
        real = {"value": -0.25, "low": -0.4, "high": -0.1, "real": True}
        return {"differences": {"sim": real, "error": real | {"high": 0.1, "real": False}}}

    monkeypatch.setattr(report, "compare", compared)
    text = write_report(sweep, out)
    assert asked == [("depth", "full")]
    assert "| depth | full | **-0.250 (-0.400 to -0.100)** | -0.250 (-0.400 to 0.100) |" in text


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        "x",
        "{}",
        '{"claims": []}',
        '{"claims": {"x": 3}}',
        '{"claims": {"x": {"value": "y"}}}',
    ],
)
def test_results_of_something_else_are_one_line(study, text):
    sweep, out = study
    (out / "full" / "results" / "results.json").write_text(text)
    with pytest.raises(InputError, match="not written by `dynamicid evaluate`"):
        write_report(sweep, out)
