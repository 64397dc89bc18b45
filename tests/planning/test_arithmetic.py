"""The formula from the configs beside what the step really does when it is traced: two independent counts."""

from dataclasses import replace

import jax
import pytest

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.errors import InputError
from dynamicid_jax.flops import count_flops
from dynamicid_jax.inference.random_model import nano_config, sd15_config
from dynamicid_jax.planning.arithmetic import UNetWork, frozen, loss_work, product, trained
from dynamicid_jax.planning.program import abstract_step
from dynamicid_jax.training.sharding import make_mesh


def _config(stage: str, targets: int = 2) -> TrainConfig:
    config = TrainConfig(stage=stage, batch_size=1)
    return replace(config, loss=replace(config.loss, targets=targets, contrastive_weight=0.0))


def test_layers() -> None:
    assert frozen(10, moving=False).total == 10
    assert frozen(10, moving=True).total == 20
    assert trained(10, moving=False).total == 20
    assert trained(10, moving=True).total == 30
    assert product(10, True, False).total == 20


def test_the_unet_alone_costs_what_the_method_says() -> None:
    model = sd15_config()
    assert model.adapter is not None
    plain = replace(model, adapter=replace(model.adapter, lora_rank=0))
    work = UNetWork(plain, adapter_trains=False).pass_over(512)
    # METHOD section 9; the face branch is the difference
    assert work.forward / 1e12 == pytest.approx(0.803, abs=1e-3)


def test_targets_scale_reconfiguration() -> None:
    model = sd15_config()
    few, many = (loss_work(_config("reconfiguration", m), model).total for m in (4, 8))
    assert many / few == pytest.approx(2, rel=0.01)


def test_other_stages_have_no_such_count() -> None:
    with pytest.raises(InputError, match="base"):
        loss_work(_config("base"), sd15_config())


def test_parts_cost_no_arithmetic() -> None:
    counts = []
    for parts in (1, 2):
        config = _config("reconfiguration")
        config = replace(
            config,
            dtype="float32",
            data=replace(config.data, image_size=16),
            optimizer=replace(config.optimizer, accumulation=parts),
        )
        step = abstract_step(config, nano_config(), make_mesh(config.mesh, jax.devices()[:1]))
        counts.append(count_flops(step.step, *step.arguments)["total"])
    assert counts[0] == counts[1]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["anchoring", "reconfiguration"])
def test_the_step_of_sd15_does_what_its_loss_asks_for(stage: str) -> None:
    config = _config(stage)
    step = abstract_step(config, sd15_config(), make_mesh(config.mesh, jax.devices()[:1]))
    traced = count_flops(step.step, *step.arguments)["total"]
    asked = loss_work(config, step.program.networks.config).total
    assert 1 <= traced / asked <= 1.01
