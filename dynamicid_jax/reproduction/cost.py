"""What training both stages costs, before it is begun: time, memory, money.

    seconds = updates * batch * operations per example / (devices * peak rate * utilisation)

Operations are planning/arithmetic.py's, peak rates training/devices.py's. The utilisation is an assumption, as nobody
has trained at this size yet. What a device holds between steps is exact; what a step needs beside it depends on the
compiler, and `dynamicid plan` finds it for a TPU slice in minutes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax

from dynamicid_jax.config import MeshConfig, TrainConfig
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.planning.arithmetic import loss_work
from dynamicid_jax.planning.program import abstract_step
from dynamicid_jax.training.devices import DEVICES, GIB, USABLE, Device, of_kind
from dynamicid_jax.training.sharding import make_mesh


@dataclass(frozen=True)
class Machine:
    """What is rented.

    Attributes:
        device: its figures.
        devices: how many.
        price: money per device and hour; None: not asked.
        utilisation: share of the peak rate.
    """

    device: Device
    devices: int
    price: float | None
    utilisation: float


@dataclass(frozen=True)
class Cost:
    """Of one stage.

    Attributes:
        stage: its name.
        updates: of the recipe.
        batch_size: examples per update.
        flops: operations per example.
        hours: on the machine.
        held: bytes per device between steps.
        money: in the price's currency; None without a price.
    """

    stage: str
    updates: int
    batch_size: int
    flops: float
    hours: float
    held: int
    money: float | None


def machine(device: str, devices: int, price: float | None, utilisation: float) -> Machine:
    """A machine by name.

    Raises:
        InputError: an unknown device, or numbers that make no sense.
    """
    figures = of_kind(device)
    if figures is None:
        raise InputError(f"--device {device!r}: not in the table; it has {', '.join(DEVICES)}")
    if devices < 1 or not 0 < utilisation <= 1 or (price is not None and not 0 <= price < math.inf):
        raise InputError(
            "--devices, --utilisation, --hourly_price: expected at least 1, above 0 up to 1, at least 0"
        )
    return Machine(figures, devices, price, utilisation)


def cost(config: TrainConfig, model: ModelConfig, on: Machine) -> Cost:
    """Of one stage.

    Args:
        config: its recipe.
        model: the base's shape.
        on: the machine.
    """
    alone = replace(config, mesh=MeshConfig())  # one device holds what each of many does
    step = abstract_step(alone, model, make_mesh(alone.mesh, jax.devices("cpu")[:1]))
    flops = float(loss_work(config, step.program.networks.config).total)
    held = step.bytes_per_device()
    rate = on.devices * on.device.peak_flops * on.utilisation
    hours = config.steps * config.batch_size * flops / rate / 3600
    return Cost(
        stage=config.stage,
        updates=config.steps,
        batch_size=config.batch_size,
        flops=flops,
        hours=hours,
        held=sum(held.values()) - held["batch"] + held["batch"] // on.devices,
        money=None if on.price is None else hours * on.devices * on.price,
    )


def page(costs: Sequence[Cost], on: Machine) -> str:
    """cost.md."""
    lines = [
        "# What training both stages costs",
        "",
        f"On {on.devices} x {on.device.name} ({on.device.peak_flops / 1e12:g} TFLOP/s, "
        f"{on.device.hbm_bytes / GIB:g} GiB each), at {on.utilisation:.0%} of the peak rate (an assumption), on "
        "precomputed features.",
        "",
        "| stage | updates x batch | TFLOP per example | hours | money | held per device, GiB |",
        "|---|---|---|---|---|---|",
    ]
    for one in costs:
        lines.append(
            f"| {one.stage} | {one.updates} x {one.batch_size} | {one.flops / 1e12:.2f} | {one.hours:.1f} "
            f"| {_money(one.money)} | {one.held / GIB:.1f} |"
        )
    total = None if on.price is None else sum(one.money or 0.0 for one in costs)
    lines.append(f"| both | | | {sum(one.hours for one in costs):.1f} | {_money(total)} | |")
    room = on.device.hbm_bytes * USABLE / GIB
    lines += [
        "",
        "Held: weights, moments, average and a batch, exactly. A step's own activations come on top, and must fit into "
        f"the rest of {room:.1f} GiB: `dynamicid plan` compiles the step and tells (docs/TPU.md has compiled figures).",
    ]
    return "\n".join(lines) + "\n"


def _money(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"
