"""The whole path of `dynamicid plan` on fake CPU devices, without libtpu."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.config import OptimizerConfig, TrainConfig, read_recipe
from dynamicid_jax.planning import table
from dynamicid_jax.planning.arithmetic import loss_work
from dynamicid_jax.planning.base_shape import base_shape
from dynamicid_jax.planning.plan import (
    GIB,
    Memory,
    Plan,
    advise,
    largest_batch,
    make_plan,
    wanted_bytes,
)
from dynamicid_jax.planning.topology import find


@pytest.fixture(scope="module")
def planned(recipe: Path) -> Plan:
    # 8 x 64 queries are one block of the CPU's own feed-forward, which would gather across devices for more.
    config = read_recipe(recipe, ["batch_size=8"])
    return make_plan(config, base_shape(config)[0], find("cpu:8", chip="v5e"))


def test_pure_data_parallel_sends_the_trained_gradients_and_nothing_else(planned: Plan) -> None:
    assert set(planned.collectives) == {"all-reduce"}, planned.collectives
    put_in = planned.collectives["all-reduce"]["bytes"]
    gradients = 4 * planned.trained_values
    # Beyond them: means of the loss and of the metrics, a few hundred bytes of scalars.
    assert gradients <= put_in <= gradients + 1024


slow = pytest.mark.slow  # one more compilation each


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=slow), pytest.param(4, marks=slow)])
def test_a_device_does_the_same_however_many_there_are(
    planned: Plan, recipe: Path, devices: int
) -> None:
    config = read_recipe(recipe, [f"batch_size={devices}"])
    fewer = make_plan(config, base_shape(config)[0], find(f"cpu:{devices}", chip="v5e"))
    assert fewer.counted_flops == planned.counted_flops
    # The compiler's own count has elementwise work in it, as often as it is fused: 6 % in so small a network.
    assert fewer.compiled_flops == pytest.approx(planned.compiled_flops, rel=0.1)
    sums = {kind: row["bytes"] for kind, row in fewer.collectives.items()}
    gradients = {kind: row["bytes"] for kind, row in planned.collectives.items()}
    assert sums == ({} if devices == 1 else gradients)


@slow
def test_reconfiguration_sends_batch_statistics_beside_the_gradients(recipe: Path) -> None:
    for devices in (1, 2, 8):
        changes = ["stage=reconfiguration", f"batch_size={devices}", "loss.targets=2"]
        config = read_recipe(recipe, changes)
        plan = make_plan(config, base_shape(config)[0], find(f"cpu:{devices}", chip="v5e"))
        work = plan.counted_flops if devices == 1 else work  # the same on every device
        assert plan.counted_flops == pytest.approx(work, rel=1e-6)
        sent = {kind: row["bytes"] for kind, row in plan.collectives.items()}
        gradients = 0 if devices == 1 else 4 * plan.trained_values
        # Keypoints' batch normalisation is over all devices: 127 KB of means, variances and their gradients here.
        assert gradients <= sent.pop("all-reduce", 0) <= 1.005 * gradients
        assert sum(sent.values()) < 1024, sent  # rows of the contrastive loss


def test_what_lies_in_memory_is_what_the_state_holds(planned: Plan) -> None:
    held = planned.memory.held
    assert held["trained parameters"] == 4 * planned.trained_values
    assert held["optimizer"] == pytest.approx(2 * held["trained parameters"], abs=16)
    assert held["average of parameters"] == 0
    assert planned.memory.peak > sum(held.values())
    assert planned.memory.fits


def test_text_and_json_tell_the_same(planned: Plan) -> None:
    text, values = table.text(planned), json.loads(json.dumps(planned.to_json()))
    assert "the larger term" in text
    assert values["times"]["bound"] in text
    assert values["times"]["seconds"] == max(
        values["times"][name] for name in ("compute", "memory", "interconnect")
    )
    assert table.markdown_row(planned).count("|") == table.HEADER.splitlines()[0].count("|")


@pytest.mark.slow  # compiles once more
def test_command(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, hlo = tmp_path / "plan.json", tmp_path / "step.txt"
    args = ["plan", "--config", str(recipe), "--topology", "cpu:2", "--config.batch_size=4"]
    code = main([*args, "--config.mesh.fsdp", "2", "--json", str(out), "--hlo", str(hlo)])
    assert code == 0
    assert json.loads(out.read_text())["mesh"] == {"data": 1, "fsdp": 2}
    assert "peak" in capsys.readouterr().out
    assert hlo.read_text().startswith("HloModule")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology", "v9:2x2"], "v9:2x2"),
        (["--topology", "v5e-300"], "v5e-256"),
        (["--topology", "cpu:64"], "only 8 CPU devices"),
        (["--topology", "cpu:8", "--chip", "abacus"], "abacus"),
        (["--topology", "cpu:8", "--config.batch_size=12"], "multiple of 8"),
        (["--topology", "cpu:8", "--config.mesh.fsdp=3"], "fsdp"),
        (["--topology", "cpu:8", "--config.batchsize=8"], "batch_size"),
        (["--topology", "cpu:8", "--config.stage=stag"], "anchoring"),
        (["--topology", "cpu:8", "--config.batch_size"], "expected a value"),
    ],
)
def test_a_wrong_request_is_one_line(
    recipe: Path, options: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    try:
        code = main(["plan", "--config", str(recipe), *options])
    except SystemExit as stop:  # argparse's own
        code = stop.code
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("error: ")


def test_the_step_does_no_more_than_its_loss_asks_for(planned: Plan, recipe: Path) -> None:
    config = read_recipe(recipe, ["batch_size=8"])
    asked = loss_work(config, base_shape(config)[0]).total  # of a picture: one per device
    # The CPU's own convolutions and the block-diagonal face branch weigh much in so small a network.
    assert asked <= planned.counted_flops <= 1.1 * asked


@pytest.mark.parametrize(
    ("message", "nbytes"),
    [
        # as libtpu 0.0.42.1 says it
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (40.50G) "
            "exceeds available HBM (15.75G).",
            int(40.5 * GIB),
        ),
        (
            "RESOURCE_EXHAUSTED: Used 20.25G of 15.75G hbm. Exceeded hbm capacity by 4.5G",
            81 * GIB // 4,
        ),
        ("INVALID_ARGUMENT: something else", None),
    ],
)
def test_the_compilers_refusal_says_how_much_it_wanted(message: str, nbytes: int | None) -> None:
    assert wanted_bytes(message) == nbytes


def _memory(temporaries: float, limit: float, held: float = 2, batch: float = 0) -> Memory:
    parts = {"frozen parameters": held, "trained parameters": 0, "batch": batch}
    sizes = {name: int(size * GIB) for name, size in parts.items()}
    peak = sum(sizes.values()) + int(temporaries * GIB)
    return Memory(sizes, int(temporaries * GIB), peak, int(limit * GIB), peak <= limit * GIB)


def test_the_largest_batch_follows_from_what_grows() -> None:
    # 12 GiB for 8 pictures per device, 2 GiB fixed: 14 GiB hold 8, 15 GiB hold 8, 15.5 GiB hold 9
    assert largest_batch(_memory(12, 15), 32, 4) == 32
    assert largest_batch(_memory(12, 15.5), 32, 4) == 36
    assert largest_batch(_memory(12, 8), 32, 4) == 16
    assert largest_batch(_memory(12, 1), 32, 4) == 0


def test_advice_says_what_would_fit() -> None:
    config = TrainConfig(batch_size=32)
    assert advise(config, _memory(12, 14), 4) == []
    assert "48" in advise(config, _memory(12, 20.1), 4)[0]
    short = " ".join(advise(config, _memory(11, 8, held=3), 4))
    for words in ("6.0 GiB", "batch_size=12", "accumulation=2", "remat=blocks", "fsdp=2"):
        assert words in short
    tight = replace(config, batch_size=4, remat="blocks", optimizer=OptimizerConfig())
    assert "remat" not in " ".join(advise(tight, _memory(12, 8), 4))
