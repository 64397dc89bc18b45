import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dynamicid_jax.training.devices import DEVICES
from dynamicid_jax.training.goodput import Goodput
from dynamicid_jax.training.metrics import AHEAD, Line, Meter, average


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _run(meter: Meter, rows: dict[int, dict[str, float]]) -> list[Line]:
    lines = [
        meter.add(step, {name: jnp.float32(x) for name, x in row.items()})
        for step, row in rows.items()
    ]
    return [line for line in lines if line is not None] + meter.finish()


def test_bucketed_losses_are_weighted_by_what_fell_into_each_bucket() -> None:
    generator = np.random.default_rng(0)
    rows, everything = [], []
    for _ in range(7):
        losses, bucket = generator.random(5), generator.integers(0, 3, 5)
        everything += list(zip(losses, bucket, strict=True))
        row: dict[str, float] = {"loss": losses.mean()}
        for index in range(4):  # nothing ever falls into the last one
            row[f"loss_sum/t{index}"] = losses[bucket == index].sum()
            row[f"loss_count/t{index}"] = float((bucket == index).sum())
        rows.append(row)
    values = average(rows)
    for index in range(3):
        chosen = [loss for loss, bucket in everything if bucket == index]
        assert values[f"loss/t{index}"] == pytest.approx(np.mean(chosen))
    assert values["loss"] == pytest.approx(np.mean([loss for loss, _ in everything]))
    assert set(values) == {"loss", "loss/t0", "loss/t1", "loss/t2"}


def test_an_update_that_was_not_finite_does_not_spoil_its_interval() -> None:
    rows = [
        {"loss": 1.0, "a_sum": 2.0, "a_count": 1.0, "skipped": 0.0, "peak_max": 3.0},
        {"loss": math.nan, "a_sum": math.inf, "a_count": 1.0, "skipped": 1.0, "peak_max": 9.0},
        {"loss": 3.0, "a_sum": 4.0, "a_count": 2.0, "skipped": 1.0, "peak_max": math.inf},
    ]
    assert average(rows) == {"loss": 2.0, "a": 2.0, "skipped": 1.0, "peak_max": 9.0}
    assert math.isnan(average([{"loss": math.nan}])["loss"])


def test_lines_come_for_whole_intervals_and_one_for_the_rest() -> None:
    meter = Meter(every=4, batch_size=2, goodput=Goodput())
    lines = _run(meter, {step: {"loss": float(step)} for step in range(3, 15)})
    assert [(line.step, line.values["loss"]) for line in lines] == [
        (4, 3.5), (8, 6.5), (12, 10.5), (14, 13.5),
    ]  # fmt: skip
    assert meter.finish() == []


def test_the_last_steps_are_not_waited_for() -> None:
    seen: list[int] = []
    meter = Meter(every=100, batch_size=1, goodput=Goodput(), on_step=lambda i, _: seen.append(i))
    for step in range(1, 8):
        meter.add(step, {"loss": jnp.float32(step)})
        assert seen == list(range(1, step - AHEAD + 1))
    meter.finish()
    assert seen == list(range(1, 8))


def test_a_checkpoint_comes_after_the_lines_of_all_its_steps() -> None:
    meter = Meter(every=3, batch_size=1, goodput=Goodput())
    for step in range(1, 5):
        meter.add(step, {"loss": jnp.float32(step)})
    assert [line.step for line in meter.settle()] == [3]
    (rest,) = _run(meter, {5: {"loss": 5.0}, 6: {"loss": 6.0}})
    assert (rest.step, rest.values["loss"]) == (6, 5.0)  # step 4 was kept


def test_every_single_step_is_told_with_its_own_numbers() -> None:
    told: dict[int, dict[str, float]] = {}
    rows = {1: {"loss": 1.0, "bad": 0.0}, 2: {"bad": 1.0, "loss": math.inf}}
    _run(Meter(every=10, batch_size=1, goodput=Goodput(), on_step=told.__setitem__), rows)
    assert told == rows


def test_speeds_leave_pauses_out_and_count_the_wait_for_data() -> None:
    clock = Clock()
    goodput = Goodput(clock)
    device = DEVICES["TPU v5e"]
    meter = Meter(
        every=5, batch_size=8, goodput=goodput, flops_per_step=4 * device.peak_flops,
        devices=4, device=device, clock=clock,
    )  # fmt: skip
    rows: list[Line | None] = []
    for step in range(1, 6):
        for phase, seconds in (("data", 0.5), ("step", 1.5), ("checkpoint", 30.0)):
            with goodput.phase(phase):
                clock.now += seconds
        rows.append(meter.add(step, {"loss": jnp.float32(0)}))
    (line,) = [row for row in rows if row is not None] + meter.finish()
    assert line.values == pytest.approx(
        {
            "loss": 0.0,
            "speed/images_per_second": 8 / 2.0,
            "speed/steps_per_second": 0.5,
            "speed/data_wait": 0.25,
            "speed/tflops_per_device": device.peak_flops / 2.0 / 1e12,
            "speed/mfu": 0.5,  # a step of one second's arithmetic took two
            "speed/goodput": 1.5 / 32,
        }
    )


def test_where_the_peak_is_not_known_there_is_no_mfu() -> None:
    meter = Meter(every=1, batch_size=1, goodput=Goodput(), flops_per_step=1e9)
    (line,) = _run(meter, {1: {"loss": 0.0}})
    assert "speed/tflops_per_device" in line.values
    assert "speed/mfu" not in line.values


def test_scalars_of_a_mesh_are_read_once_and_explicitly() -> None:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    place = jax.jit(lambda: {"loss": jnp.float32(2), "n": jnp.int32(3)}, out_shardings=everywhere)
    meter = Meter(every=2, batch_size=1, goodput=Goodput())
    metrics: list[Any] = [place() for _ in range(4)]
    with jax.transfer_guard_device_to_host("disallow"):
        lines = [meter.add(step, row) for step, row in enumerate(metrics, 1)] + meter.finish()
    told = [line for line in lines if line is not None]
    assert [(line.step, line.values["loss"], line.values["n"]) for line in told] == [
        (2, 2, 3),
        (4, 2, 3),
    ]
