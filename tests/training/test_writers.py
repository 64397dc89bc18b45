import errno
import io
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynamicid_jax.training import writers
from dynamicid_jax.training.writers import Writers, last_sign_of_life, read_metrics


def _events(workdir: Path) -> dict[str, dict[int, Any]]:
    """{tag: {step: value}} as TensorBoard itself reads the folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    reader = EventAccumulator(
        str(workdir / "tensorboard"), size_guidance={"tensors": 0, "images": 0, "scalars": 0}
    )
    reader.Reload()
    found: dict[str, dict[int, Any]] = {
        tag: {event.step: event.value for event in reader.Scalars(tag)}
        for tag in reader.Tags()["scalars"]
    }
    for tag in reader.Tags()["tensors"]:
        found[tag] = {one.step: make_ndarray(one.tensor_proto) for one in reader.Tensors(tag)}
    for tag in reader.Tags()["images"]:
        found[tag] = {one.step: one.encoded_image_string for one in reader.Images(tag)}
    return found


def _run(workdir: Path, steps: range, *, start: int = 0, offset: float = 0.0) -> Writers:
    told = Writers(workdir, start_step=start)
    for step in steps:
        told.scalars(step, {"loss": step + offset})
    told.close()
    return told


def test_steps_that_a_broken_run_told_are_told_once_after_a_restart(tmp_path: Path) -> None:
    _run(tmp_path, range(1, 8))
    _run(tmp_path, range(5, 7), start=4, offset=0.5)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [1, 2, 3, 4, 5.5, 6.5]
    assert [line["loss"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4, 5.5, 6.5]
    assert {step: float(x) for step, x in _events(tmp_path)["loss"].items()} == {
        1: 1, 2: 2, 3: 3, 4: 4, 5: 5.5, 6: 6.5,
    }  # fmt: skip


def test_a_line_cut_short_by_a_crash_is_dropped_and_later_lines_stay_whole(tmp_path: Path) -> None:
    _run(tmp_path, range(1, 4))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]
    _run(tmp_path, range(3, 5), start=3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3, 4]


def test_a_broken_runs_last_sign_of_life_is_its_last_line(tmp_path: Path) -> None:
    assert last_sign_of_life(tmp_path / "none") is None
    before = time.time()
    _run(tmp_path, range(1, 4))
    seen = last_sign_of_life(tmp_path)
    assert seen is not None
    assert before - 0.01 <= seen <= time.time() + 0.01


def test_numbers_of_one_step_told_in_two_calls_are_one_line_when_read(tmp_path: Path) -> None:
    told = Writers(tmp_path, tensorboard=False)
    told.scalars(10, {"loss": 1.0, "norm": math.inf})
    told.scalars(10, {"heldout/loss": 2.0, "bad": math.nan})
    (line,) = read_metrics(tmp_path)
    assert (line["step"], line["loss"], line["heldout/loss"]) == (10, 1.0, 2.0)
    assert math.isnan(line["bad"])
    for text in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_pictures_arrive_as_png_and_in_tensorboard(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (24, 36, 3), np.uint8)
    told = Writers(tmp_path)
    told.picture(7, "sheet/a", picture)
    told.close()
    path = tmp_path / "pictures" / "00000007-sheet-a.png"
    assert np.array_equal(np.asarray(Image.open(path)), picture)
    assert _events(tmp_path)["sheet/a"] == {7: path.read_bytes()}


def test_a_full_disk_costs_numbers_not_the_run_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = Writers(tmp_path)
    told.scalars(1, {"loss": 1.0})

    class Full(io.FileIO):
        """A file that takes half of what it is given."""

        def write(self, data: Any) -> int:
            super().write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    kind = type(told.workdir)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "open", lambda self, mode="r": Full(str(self), mode.replace("b", "")))
        told.scalars(2, {"loss": 2.0})
        told.scalars(3, {"loss": 3.0})
    told.scalars(4, {"loss": 4.0})
    told.close()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 4]
    assert sorted(_events(tmp_path)["loss"]) == [1, 4]  # the half event does not hide later ones
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "metrics cannot be written" in line]) == 1
    assert all("No space left" in line and "\n" not in line for line in said)


def test_only_process_0_writes(tmp_path: Path) -> None:
    told = Writers(tmp_path / "run", active=False)
    told.scalars(1, {"loss": 1.0})
    told.picture(1, "x", np.zeros((2, 2, 3), np.uint8))
    told.close()
    assert not (tmp_path / "run").exists()


def test_an_object_store_gets_parts_which_a_restart_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the paths are local, the writers are told that they are not
    monkeypatch.setattr(writers, "_local", lambda path: False)
    _run(tmp_path, range(1, 4))
    _run(tmp_path, range(3, 5), start=2, offset=0.5)
    third = Writers(tmp_path, start_step=3)
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["metrics.jsonl"]
    third.scalars(4, {"loss": 9.0})
    third.flush()
    third.scalars(5, {"loss": 10.0})
    third.flush()
    assert [line["loss"] for line in read_metrics(tmp_path)] == [1, 2, 3.5, 9, 10]
    assert {step: float(x) for step, x in _events(tmp_path)["loss"].items()} == {
        1: 1, 2: 2, 3: 3.5, 4: 9, 5: 10,
    }  # fmt: skip


def test_an_object_store_is_written_to_at_intervals_not_at_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_local", lambda path: False)
    told = Writers(tmp_path)
    for step in range(100):
        told.scalars(step, {"loss": 0.0})
    assert not list(tmp_path.glob("*.jsonl"))
    monkeypatch.setattr(writers, "PART_SECONDS", -1.0)
    told.scalars(100, {"loss": 0.0})
    assert len(read_metrics(tmp_path)) == 101


def test_without_tensorboard_installed_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboard.compat.proto", None)
    told = Writers(tmp_path)
    told.scalars(1, {"loss": 1.0})
    told.close()
    assert len(read_metrics(tmp_path)) == 1
    assert "pip install tensorboard" in caplog.text


def test_tensorflow_is_not_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from dynamicid_jax.training.writers import Writers\n"
        f"w = Writers({str(tmp_path)!r}, active=True); w.scalars(1, {{'a': 1.0}}); w.close()\n"
        "assert 'tensorflow' not in sys.modules and 'tensorboard.summary' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
