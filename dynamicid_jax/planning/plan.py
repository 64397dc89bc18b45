"""A plan: the real step compiled for a machine, and what that says about memory and time, per device."""

import dataclasses
import re
import time
from dataclasses import dataclass
from typing import Any

import jax

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.errors import InputError
from dynamicid_jax.flops import count_flops
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.planning.collectives import Collective, by_kind, collectives
from dynamicid_jax.planning.program import AbstractStep, abstract_step
from dynamicid_jax.planning.roofline import Roofline, roofline
from dynamicid_jax.planning.topology import Topology
from dynamicid_jax.training.sharding import make_mesh
from dynamicid_jax.types import Number

GIB = 2**30


@dataclass(frozen=True)
class Memory:
    """Bytes per device.

    Attributes:
        held: what lies there between steps, by name.
        temporaries: activations and everything else that a step makes and drops.
        peak: all together, as the compiler lays it out.
        limit: what a program may use; None on a CPU.
        fits: whether it compiled and stays below the limit.
    """

    held: dict[str, int]
    temporaries: int
    peak: int
    limit: int | None
    fits: bool


@dataclass(frozen=True)
class Plan:
    """What `dynamicid plan` found.

    Attributes:
        stage: of the recipe.
        topology: machine, canonical name.
        chip: its row in the table of devices, or "CPU".
        mesh: devices along each axis.
        batch_size: examples per update, all devices.
        pictures: pictures per device and update (persons times targets in reconfiguration).
        settings: what else decides memory and time.
        memory: see there.
        counted_flops: operations per device, from the jaxpr.
        compiled_flops: the compiler's count; 0 where it did not compile. Loops count once in it.
        moved_bytes: read and written per device: the compiler's count, times the rounds of the loop over parts.
        collectives: by kind: count, bytes put in, bytes sent, per device.
        trained_values: trained parameters, all devices.
        times: the roofline; None for a CPU.
        advice: what to change, or what would fit.
        compile_seconds: how long lowering and compiling took.
    """

    stage: str
    topology: str
    chip: str
    mesh: dict[str, int]
    batch_size: int
    pictures: float
    settings: dict[str, Any]
    memory: Memory
    counted_flops: float
    compiled_flops: float
    moved_bytes: float
    collectives: dict[str, dict[str, Number]]
    trained_values: int
    times: Roofline | None
    advice: tuple[str, ...]
    compile_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the roofline's verdict."""
        values = dataclasses.asdict(self)
        if self.times is not None:
            values["times"] |= {"seconds": self.times.seconds, "bound": self.times.bound}
        return values


def make_plan(
    config: TrainConfig,
    model: ModelConfig,
    topology: Topology,
    features: bool = True,
    text_to: Any = None,
) -> Plan:
    """Compiles a recipe's step for a machine.

    Args:
        config: the recipe.
        model: shape of its base.
        topology: the machine.
        features: whether batches hold precomputed features.
        text_to: a path that receives the compiled program's text.

    Raises:
        InputError: the recipe does not fit the machine (mesh, batch), or does not compile.
    """
    mesh = make_mesh(config.mesh, topology.devices)
    step = abstract_step(config, model, mesh, features)
    devices = mesh.devices.size
    begin = time.perf_counter()
    compiled, wanted = _compile(step)
    took = time.perf_counter() - begin
    counted = count_flops(step.step, *step.arguments, platform=topology.platform)["total"] / devices
    memory = _memory(step, compiled, wanted, topology)
    found: list[Collective] = []
    flops = moved = 0.0
    if compiled is not None:
        text = compiled.as_text()
        if text_to is not None:
            text_to.write_text(text)
        found = collectives(text, devices)
        costs = compiled.cost_analysis()
        flops, moved = float(costs.get("flops", 0)), float(costs.get("bytes accessed", 0))
    kinds = by_kind(found)
    sent = float(sum(row["sent"] for row in kinds.values()))
    if flops and config.optimizer.accumulation > 1:
        # The compiler counts a loop's body once, in operations as in bytes, and the loop over parts is the step.
        moved *= max(1.0, counted / flops)
    times = None
    if topology.chip is not None and compiled is not None:
        times = roofline(topology.chip, max(counted, flops), moved, sent)
    group = config.loss.targets if step.program.stage.grouped else 1
    return Plan(
        stage=config.stage,
        topology=topology.name,
        chip="CPU" if topology.chip is None else topology.chip.name,
        mesh=dict(mesh.shape),
        batch_size=config.batch_size,
        pictures=config.batch_size * group / devices,
        settings=_settings(config, features),
        memory=memory,
        counted_flops=counted,
        compiled_flops=flops,
        moved_bytes=moved,
        collectives=kinds,
        trained_values=step.trained_values(),
        times=times,
        advice=tuple(advise(config, memory, devices)),
        compile_seconds=took,
    )


def _settings(config: TrainConfig, features: bool) -> dict[str, Any]:
    return {
        "image_size": config.data.image_size,
        "dtype": config.dtype,
        "remat": config.remat,
        "accumulation": config.optimizer.accumulation,
        "input": "features" if features else "pictures",
        "jax": jax.__version__,
    }


def _compile(step: AbstractStep) -> tuple[Any, int]:
    """The compiled step; or None and the bytes of temporaries that it wanted, where memory is too small."""
    lowered = step.lower()
    try:
        return lowered.compile(), 0
    except jax.errors.JaxRuntimeError as error:
        wanted = wanted_bytes(str(error))
        if wanted is None:
            raise InputError(f"the step does not compile: {str(error).splitlines()[0]}") from error
        return None, wanted


def wanted_bytes(message: str) -> int | None:
    """Bytes that a program wanted, from the compiler's refusal; None where it refuses for another reason."""
    if "RESOURCE_EXHAUSTED" not in message and "out of memory" not in message.lower():
        return None
    for pattern in (r"Used ([\d.]+)([KMGT]) of", r"\(([\d.]+)([KMGT])\) exceeds"):
        if match := re.search(pattern, message):
            return int(float(match[1]) * 1024 ** (" KMGT".index(match[2])))
    return 0


def _memory(step: AbstractStep, compiled: Any, wanted: int, topology: Topology) -> Memory:
    held = step.bytes_per_device()
    if compiled is None:
        return Memory(held, wanted, sum(held.values()) + wanted, topology.memory, False)
    stats = compiled.memory_analysis()
    peak = (
        stats.argument_size_in_bytes
        + stats.output_size_in_bytes
        - stats.alias_size_in_bytes
        + stats.temp_size_in_bytes
        + stats.generated_code_size_in_bytes
    )
    fits = topology.memory is None or peak <= topology.memory
    return Memory(held, stats.temp_size_in_bytes, peak, topology.memory, fits)


def largest_batch(memory: Memory, batch_size: int, devices: int, parts: int = 1) -> int:
    """The largest batch that fits, by estimate: temporaries beyond the gradients grow with the batch.

    Args:
        memory: of a plan with a limit.
        batch_size: of that plan.
        devices: of the machine.
        parts: into which a batch is cut; what is held at once is a part.
    """
    if memory.limit is None:
        return batch_size
    gradients = memory.held["trained parameters"]
    rows = max(1.0, batch_size / devices / parts)
    growing = max(1.0, (memory.temporaries - gradients) / rows)
    fixed = memory.peak - memory.temporaries + gradients
    return max(0, int((memory.limit - fixed) // growing)) * devices * parts


def advise(config: TrainConfig, memory: Memory, devices: int) -> list[str]:
    """One line per thing worth changing."""
    if memory.limit is None:
        return []
    parts = config.optimizer.accumulation
    best = largest_batch(memory, config.batch_size, devices, parts)
    if memory.fits:
        return [f"by estimate up to batch_size {best} fits"] if best > config.batch_size else []
    over = (memory.peak - memory.limit) / GIB
    lines = [f"too little memory by {over:.1f} GiB per device"]
    if best:
        lines.append(f"by estimate --config.batch_size={best} fits as it is")
    if config.batch_size // devices // parts > 1:
        lines.append(
            f"--config.optimizer.accumulation={2 * parts} takes the same batch in smaller parts"
        )
    if config.remat != "blocks":
        lines.append(
            "--config.remat=blocks keeps only the maps between blocks, for 1.3 to 1.4 times the arithmetic"
        )
    whole = sum(memory.held.values()) - memory.held["batch"]
    cut = next((n for n in (2, 4, 8, 16, 32) if whole / n < memory.limit / 2), 32)
    if whole > memory.limit / 4 and devices % cut == 0 and cut > 1:
        lines.append(
            f"--config.mesh.fsdp={cut} cuts the {whole / GIB:.1f} GiB of weights and moments"
        )
    return lines
