"""A plan as text for a terminal, and as a row of a Markdown table."""

from collections.abc import Iterator

from dynamicid_jax.planning.plan import GIB, Plan
from dynamicid_jax.types import Number


def text(plan: Plan) -> str:
    """Everything about a plan, per device."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    mesh = " x ".join(f"{axis} {size}" for axis, size in plan.mesh.items())
    settings = ", ".join(f"{name} {value}" for name, value in plan.settings.items())
    yield f"{plan.stage} on {plan.topology} ({plan.chip}), mesh {mesh}, batch_size {plan.batch_size}"
    yield f"  {plan.pictures:g} pictures per device; {settings}; compiled, not run, in {plan.compile_seconds:.0f} s"
    yield ""
    yield "memory per device"
    for name, nbytes in plan.memory.held.items():
        yield _row(name, _size(nbytes))
    yield _row("activations and temporaries", _size(plan.memory.temporaries))
    yield _row("peak", _against(plan))
    yield ""
    yield "work per device and step"
    yield _row("arithmetic, counted", f"{plan.counted_flops / 1e12:.4g} TFLOP")
    if plan.compiled_flops:
        yield _row("arithmetic, compiled", f"{plan.compiled_flops / 1e12:.4g} TFLOP (loops once)")
        yield _row("memory traffic", _size(plan.moved_bytes))
        for kind, row in plan.collectives.items():
            yield _row(
                kind, f"{_size(row['bytes'])} in {row['count']:g} calls, {_size(row['sent'])} sent"
            )
        if not plan.collectives:
            yield _row("collectives", "none")
    yield from _times(plan)
    if plan.advice:
        yield ""
        yield from plan.advice


def _times(plan: Plan) -> Iterator[str]:
    if plan.times is None:
        return
    times = plan.times
    rate = plan.pictures / times.seconds
    yield ""
    yield "least time per step (roofline)"
    for name in ("compute", "memory", "interconnect"):
        mark = "  <- the larger term" if name == times.bound else ""
        yield _row(name, f"{getattr(times, name) * 1e3:.4g} ms{mark}")
    yield _row("that is at most", f"{rate:.4g} pictures/s per device")


def _row(name: str, value: str) -> str:
    return f"  {name:<28}{value}"


def _against(plan: Plan) -> str:
    """Peak beside the chip's memory."""
    memory = plan.memory
    if memory.limit is None:
        return _size(memory.peak)
    verdict = "fits" if memory.fits else "DOES NOT FIT"
    return f"{_size(memory.peak)} of {_size(memory.limit)} usable: {verdict}"


def _size(nbytes: Number) -> str:
    """Bytes with a unit, three digits."""
    for unit, size in (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if nbytes >= size:
            return f"{nbytes / size:.3g} {unit}"
    return f"{nbytes:.0f} B"


HEADER = (
    "| stage | machine | batch | per chip | remat | parts "
    "| peak, GiB | TFLOP | moved, GiB | sent, MiB | least ms | term |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def markdown_row(plan: Plan) -> str:
    """One row below `HEADER`; figures are per device."""
    times, memory = plan.times, plan.memory
    limit = "" if memory.limit is None else f" of {memory.limit / GIB:.1f}"
    sent = sum(row["sent"] for row in plan.collectives.values()) / 2**20
    cells = [
        plan.stage,
        plan.topology,
        f"{plan.batch_size}",
        f"{plan.pictures:g}",
        plan.settings["remat"],
        f"{plan.settings['accumulation']}",
        f"{memory.peak / GIB:.1f}{limit}{'' if memory.fits else ' (too much)'}",
        f"{max(plan.counted_flops, plan.compiled_flops) / 1e12:.2f}",
        f"{plan.moved_bytes / GIB:.0f}",
        f"{sent:.0f}",
        "" if times is None else f"{times.seconds * 1e3:.0f}",
        "" if times is None else times.bound,
    ]
    return "| " + " | ".join(cells) + " |"
