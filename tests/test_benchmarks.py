"""The benchmarks' runner and tables, and that the stand-in for the published attention computes what it did."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import golden_io as golden
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    """The benchmarks' own modules: they run as scripts, from their folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("rows", "cases", "rowmakers", "suites"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import rows
    import suites

    return rows, suites


def test_every_benchmark_still_finds_what_it_imports() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    optional = ("torch", "diffusers")
    lines = [
        f"""
try:
    import {name}
except ModuleNotFoundError as error:
    if error.name not in {optional}:
        raise
"""
        for name in names
    ]
    subprocess.run([sys.executable, "-c", "".join(lines)], cwd=FOLDER, check=True)


@pytest.mark.parametrize(
    "name",
    [
        "b_sa_64",
        "c_two_ids",
        "c_small_box_before_end",
        "c_two_ids_after_end",
        "c_nonsquare_portrait",
    ],
)
def test_the_stand_in_computes_what_the_published_attention_did(name: str, monkeypatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch (extra `benchmark`) runs the stand-in")
    reason = "diffusers (extra `benchmark`) holds the stand-in's UNet"
    attention = pytest.importorskip("diffusers.models.attention_processor", reason=reason)
    monkeypatch.syspath_prepend(str(FOLDER))
    from published import CrossProcessor, SelfProcessor

    case, meta = golden.load(name)
    cross = name.startswith("c_")
    context = meta["cross"] if cross else meta["hidden"]
    kind = CrossProcessor if cross else SelfProcessor
    processor = kind(meta["hidden"], context, meta["rank"])
    if cross:
        processor.boxes = meta["bbox_used"]
        processor.size = (meta["map_height"], meta["map_width"])
        early = meta["counts"][0] < meta["infer_end"]
        processor.strength = float(meta["infer_scale"]) if early else 0.0
    module = attention.Attention(
        meta["hidden"],
        cross_attention_dim=context if cross else None,
        heads=meta["heads"],
        dim_head=meta["hidden"] // meta["heads"],
        processor=processor,
    )
    module.load_state_dict({key: torch.from_numpy(np.array(v)) for key, v in case["sd"].items()})
    given = [torch.from_numpy(np.array(case["in"]["hidden_states"]))]
    if cross:
        given.append(torch.from_numpy(np.array(case["in"]["encoder_hidden_states"])))
    with torch.inference_mode():
        golden.close(module(*given).numpy(), case["out"]["output"], 2e-5)


def test_tables_leave_what_was_not_measured_empty(modules, tmp_path) -> None:
    rows, _ = modules
    made = rows.Results(
        "gpu",
        [
            rows.Row("Pictures", "one", "s", (2.0, 1.0, 4.0), tflop=80.0, peak_gb=3.456),
            rows.Row("Pictures", "two", "s", (2.0,), peak_gb=3.0, compiling_gb=4.5),
            rows.Row("Pictures", "eight", "pictures/s", (4.0,), tflop=640.0, per=8),
            rows.Row("Pictures", "none"),
        ],
        peak=400.0,
        peak_of="a peak",
        day="2026-01-02",
    )
    document = tmp_path / "doc.md"
    document.write_text("before\n<!-- rows: gpu -->\nold\n<!-- end of rows: gpu -->\nafter\n")
    rows.write_into(document, made)
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "Share: of 400 TFLOP/s, a peak." in text
    assert "| two | 2.00 | 2.00 | 2.00 | s |  |  | 3.00 (4.50 compiling) |" in text
    assert "| one | 2.00 | 1.00 | 4.00 | s | 80.0 | 10 % | 3.46 |" in text
    assert "| eight | 4.00 | 4.00 | 4.00 | pictures/s | 640 | 80 % |  |" in text
    assert "| none |  |  |  | s |  |  |  |" in text
    rows.write_into(document, made)  # again, into its own output
    assert document.read_text() == text
    made.save(tmp_path / "made.json")
    assert rows.Results.load(tmp_path / "made.json") == made
    assert rows.ratio(made.rows, "one", "eight") == 0.5
    assert rows.ratio(made.rows, "one", "none") is None


def test_every_suites_cases_name_workers_that_it_starts(modules) -> None:
    _, suites = modules
    for name, make in suites.SUITES.items():
        suite = make()
        names = [case.name for case in suite.cases]
        assert len(set(names)) == len(names), name
        started = [worker for some in suite.order for worker in some]
        assert sorted(started) == sorted(suite.load) == sorted({c.worker for c in suite.cases})
        assert {one for pair in suite.compare for one in pair} <= set(names)


def test_a_workers_name_selects_that_worker_alone(modules) -> None:
    _, suites = modules
    from cases import chosen

    for name, make in suites.SUITES.items():
        suite = make()
        for worker in suite.load:
            assert {case.worker for case in chosen(suite, (worker,))} == {worker}, (name, worker)
        part = chosen(suite, ("one person in",))  # no worker: a part of names
        assert part
        assert all("one person in" in case.name for case in part)
        assert chosen(suite, ()) == list(suite.cases)


def test_compared_rows_take_turns(modules) -> None:
    _, suites = modules
    for name, make in suites.SUITES.items():
        suite = make()
        worker = {case.name: case.worker for case in suite.cases}
        for pair in suite.compare:
            assert any({worker[one] for one in pair} <= set(some) for some in suite.order), name


def test_a_run_measures_a_row_and_its_memory_alone(tmp_path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, str(FOLDER / "run.py"), "small", "--only", "one person in a box"]
    more = ["--repeats", "2", "--out", str(out)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
    (row,) = json.loads(out.read_text())["rows"]
    assert len(row["values"]) == 2
    assert min(row["values"]) > 0
    assert row["tflop"] > 0
    assert 0.1 < row["peak_gb"] < row["compiling_gb"] < 3
    assert "dynamicid-jax, one person in a box" in done.stdout
    assert "Share: of " in done.stdout


def test_a_run_out_of_time_says_so(modules) -> None:
    _, suites = modules
    import run

    args = argparse.Namespace(
        suite="small", only=["step"], steps=1, repeats=5, minutes=60, one_at_a_time=False
    )
    made = run.Run(args, suites.SUITES["small"](), cache="")
    made._out_of_time()
    found = made.results()
    assert not any(row.values for row in found.rows)
    assert any("ended" in note for note in found.notes)


def test_a_word_that_names_no_row_is_refused(tmp_path) -> None:
    command = [sys.executable, str(FOLDER / "run.py"), "small", "--only", "stpe"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "--only: expected one of the workers" in done.stderr
    assert "Traceback" not in done.stderr


COUNTED = """
import sys
import sampler_plan

def row(what, lowered, machine, rounds):
    if what.startswith("decoding"):
        print("counted", rounds * lowered.compile().cost_analysis()["flops"])

sampler_plan.row = row
for pictures in ("1", "3"):
    shape = ["--model", "tiny", "--size", "64", "--pictures", pictures]
    sys.argv = ["sampler_plan.py", "--topology", "cpu:1", *shape]
    sampler_plan.main()
"""


def test_a_planned_decoder_is_counted_once_per_picture() -> None:
    command = [sys.executable, "-c", COUNTED]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    one, three = (float(line[1]) for line in lines if line[0] == "counted")
    assert three == pytest.approx(3 * one, rel=0.02)
