import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.training.curves import Curve, decades, plot, running_mean, ticks
from dynamicid_jax.training.goodput import Goodput
from dynamicid_jax.training.report import RunReport, curve_pictures, write_report
from dynamicid_jax.training.writers import Writers


def _report(workdir: Path, **changes: object) -> dict:
    goodput = Goodput()
    with goodput.phase("step"):
        pass
    values = {"status": "finished", "step": 40, "start_step": 20, "goodput": goodput.summary()}
    return write_report(workdir, TrainConfig(base="B", steps=40), RunReport(**values | changes))


def test_a_report_holds_what_ran_where_how_long_and_what_came_of_it(tmp_path: Path) -> None:
    told = Writers(tmp_path, tensorboard=False)
    for step in range(10, 41, 10):
        told.scalars(step, {"loss": 1 / step, "norm": math.nan})
    for step in (20, 30):
        held = {"heldout/loss": 0.5, "heldout/change": -0.1, "heldout/change_low": -0.2}
        told.scalars(step, held | {"heldout/change_high": 0.05})
    report = _report(
        tmp_path,
        parameters={"trained": 1234567},
        skipped=3,
        damaged=["ann/1", "bob/2"],
        drawn=1000,
        fallbacks=[(30, "model/d/1: other bytes")],
        more={"adapter": "model"},
    )
    kept = json.loads((tmp_path / "report.json").read_text())
    assert (kept["final"]["loss"], kept["final"]["norm"]) == (1 / 40, None)
    assert kept["final"]["heldout/change_high"] == 0.05
    assert kept["updates"] == {"done": 40, "of": 40, "before this session": 20}
    assert kept["where"]["devices"] == "8 x cpu"
    assert kept["config"]["optimizer"]["learning_rate"] == 1e-4
    assert kept["trouble"] == {
        "skipped updates": 3,
        "damaged records": ["ann/1", "bob/2"],
        "records drawn": 1000,
        "damaged checkpoints": [{"step": 30, "why": "model/d/1: other bytes"}],
    }
    assert report["trouble"] == kept["trouble"]
    text = (tmp_path / "report.md").read_text()
    for words in (
        "1,234,567 trained", "3 updates skipped", "2 damaged records of 1,000 drawn (0.20%)",
        "`ann/1`, `bob/2`", "step 30 was passed over: model/d/1: other bytes", "| adapter | model |",
        "![loss](loss.png)", "![heldout](heldout.png)",
    ):  # fmt: skip
        assert words in text
    for name in ("loss.png", "heldout.png"):
        assert Image.open(tmp_path / name).size == (960, 480)


def test_a_run_that_told_nothing_has_a_report_without_a_curve(tmp_path: Path) -> None:
    _report(tmp_path / "run", status="stopped by a signal")
    text = (tmp_path / "run" / "report.md").read_text()
    assert "stopped by a signal" in text
    assert "None." in text
    assert "loss.png" not in text
    assert not (tmp_path / "run" / "loss.png").exists()


def test_a_report_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert _report(tmp_path / "file" / "run")["status"] == "finished"
    assert "report cannot be written" in caplog.text


def _reach(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixels near a colour."""
    pixels = np.asarray(picture, np.int32)[60:430, 72:]
    return np.nonzero(np.abs(pixels - np.array([[colour]])).sum(-1) < 60)


def test_a_curve_that_falls_is_drawn_falling_over_the_whole_width() -> None:
    x = list(range(0, 1000, 20))
    picture = plot([Curve("loss", x, [2 - value / 1000 for value in x])], "a run")
    rows, columns = _reach(picture, (9, 105, 218))
    assert np.ptp(columns) > 800
    left, right = rows[columns < 100].mean(), rows[columns > 800].mean()
    assert right - left > 250  # pixels count downwards


def test_values_that_are_not_finite_leave_the_rest_of_the_curve() -> None:
    told = [{"step": step, "loss": math.nan if step == 3 else 1.0} for step in range(6)]
    assert list(curve_pictures(told, "base")) == ["loss.png"]
    assert curve_pictures(told[:1], "base") == {}
    assert plot([Curve("empty", [1, 2], [math.nan, math.inf])], "nothing").size == (960, 480)


def test_ticks_are_round_inside_and_few() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        low = float(generator.normal() * 10.0 ** generator.integers(-3, 5))
        high = low + float(generator.random() * 10.0 ** generator.integers(-4, 6)) + 1e-6
        found = ticks(low, high)
        assert 2 <= len(found) <= 8
        assert low - 1e-6 * abs(low) <= found[0]
        assert found[-1] <= high + 1e-6 * abs(high)
        step = (found[1] - found[0]) / 10 ** math.floor(math.log10(found[1] - found[0]) + 1e-6)
        assert min(abs(step - factor) for factor in (1, 2, 5, 10)) < 1e-3
    assert decades(0.015, 0.3) == pytest.approx([0.02, 0.05, 0.1, 0.2])


def test_a_running_mean_keeps_a_straight_line_and_halves_noise() -> None:
    line = np.linspace(0, 1, 101)
    assert np.allclose(running_mean(line, 5)[5:-5], line[5:-5])
    noise = np.random.default_rng(0).standard_normal(2001)
    assert running_mean(noise, 10).std() < noise.std() / 3
    assert np.allclose(running_mean(noise, 0), noise)
