"""The exit report: what ran, where, how long, and what came of it.

WORKDIR/report.json   everything, for programs
WORKDIR/report.md     the same for people, with
WORKDIR/loss.png      the curves
"""

import io
import json
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
from etils import epath

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.models.configs import to_dict
from dynamicid_jax.training.console_progress import clock
from dynamicid_jax.training.curves import Curve, plot
from dynamicid_jax.training.devices import of
from dynamicid_jax.training.rises import LOOKS_TITLE, TITLE, look_curves, rise_curves
from dynamicid_jax.training.writers import read_metrics
from dynamicid_jax.types import Number

_log = logging.getLogger("dynamicid_jax")

PACKAGES = (
    "dynamicid-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
)
MOST_CURVES = 5  # in one picture
SHOWN_KEYS = 20  # damaged records named in report.md; report.json has all


@dataclass(frozen=True)
class RunReport:
    """What only the loop knows.

    Attributes:
        status: "finished", "stopped by a signal", or why it failed; one line.
        step: updates done.
        start_step: of these, by earlier sessions.
        goodput: `Goodput.summary()`.
        parameters: {"trained": n, "frozen": n}, or whatever is worth counting.
        skipped: updates left out for NaN or Inf.
        damaged: keys of damaged records that were replaced.
        drawn: records drawn so far, for their share.
        fallbacks: damaged checkpoints that were passed over: (step, why).
        more: other facts for the summary, {name: value}.
    """

    status: str
    step: int
    start_step: int
    goodput: Mapping[str, Any]
    parameters: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    damaged: Sequence[str] = ()
    drawn: int | None = None
    fallbacks: Sequence[tuple[int, str]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


def write_report(workdir: Any, config: TrainConfig, run: RunReport) -> dict[str, Any]:
    """Writes the files on process 0; returns report.json's content on all.

    Where they cannot be written, one warning line says so: a finished run does not fail for its report.
    """
    folder = epath.Path(workdir)
    lines = read_metrics(folder) if folder.is_dir() else []
    report: dict[str, Any] = {
        "status": run.status,
        "stage": config.stage,
        "base": config.base or f"random weights ({config.random_base})",
        "updates": {"done": run.step, "of": config.steps, "before this session": run.start_step},
        "batch_size": config.batch_size,
        "parameters": dict(run.parameters),
        **dict(run.more),
        "where": where(),
        "time": dict(run.goodput),
        "final": final_numbers(lines),
        "trouble": {
            "skipped updates": run.skipped,
            "damaged records": list(run.damaged),
            "records drawn": run.drawn,
            "damaged checkpoints": [{"step": step, "why": why} for step, why in run.fallbacks],
        },
        "config": to_dict(config),
    }
    if jax.process_index() == 0:
        try:
            _write(folder, report, curve_pictures(lines, config.stage))
        except OSError as error:
            _log.warning(
                "%s: the report cannot be written (%s)", folder, error.strerror or str(error)
            )
    return report


def _write(folder: epath.Path, report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    (folder / "report.json").write_text(json.dumps(_json(report), indent=2) + "\n")
    (folder / "report.md").write_text(_markdown(report, list(pictures)))


def where() -> dict[str, Any]:
    """Devices, hosts and versions."""
    device = jax.devices()[0]
    peak = of(device)
    found: dict[str, Any] = {
        "devices": f"{jax.device_count()} x {device.device_kind}",
        "platform": device.platform,
        "hosts": jax.process_count(),
        "peak TFLOP/s per device": None if peak is None else peak.peak_flops / 1e12,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: number for name in PACKAGES if (number := _version(name))},
    }
    memory = device.memory_stats() if device.process_index == jax.process_index() else None
    if memory and "peak_bytes_in_use" in memory:
        found["peak memory of device 0"] = memory["peak_bytes_in_use"]
    return found


def final_numbers(lines: Sequence[Mapping[str, Number]]) -> dict[str, Number]:
    """The last value of every name, from whichever line had it."""
    values: dict[str, Number] = {}
    for line in lines:
        values |= {name: value for name, value in line.items() if name not in ("step", "time")}
    return values


def curve_pictures(lines: Sequence[Mapping[str, Number]], stage: str) -> dict[str, bytes]:
    """PNGs by file name, of what was measured twice at least.

    loss.png holds the training loss and held-out losses; heldout.png what has an interval: "heldout/X" with
    "heldout/X_low" and "heldout/X_high"; rises.png and face_rises.png the rises by attribute of the caption,
    look_rises.png those by look of the photo.
    """
    names = sorted({name for line in lines for name in line if name.startswith("heldout/")})
    banded = [name for name in names if {f"{name}_low", f"{name}_high"} <= set(names)]
    ends = {f"{name}{end}" for name in banded for end in ("_low", "_high")}
    plain = [name for name in names if "loss" in name and name not in ends | set(banded)]
    whole = [name for name in banded if "rise_" not in name]

    def curves_of(chosen: Sequence[str]) -> list[Curve]:
        return [_curve(lines, name, name in banded) for name in chosen[:MOST_CURVES]]

    groups = {
        "loss.png": ("loss", curves_of(["loss", *plain])),
        "heldout.png": ("held-out records, mean and 95 % interval", curves_of(whole)),
        "rises.png": (f"held-out loss, {TITLE}", rise_curves(lines)),
        "face_rises.png": (f"held-out loss inside faces, {TITLE}", rise_curves(lines, "face_")),
        "look_rises.png": (f"held-out loss inside faces, {LOOKS_TITLE}", look_curves(lines)),
    }
    found = {}
    for file_name, (title, curves) in groups.items():
        if drawn := [curve for curve in curves if len(curve.x) > 1]:
            file = io.BytesIO()
            plot(drawn, f"{stage}: {title}").save(file, format="PNG")
            found[file_name] = file.getvalue()
    return found


def _curve(lines: Sequence[Mapping[str, Number]], name: str, banded: bool) -> Curve:
    told = [line for line in lines if name in line]
    ends = [[line.get(f"{name}_{end}", math.nan) for line in told] for end in ("low", "high")]
    return Curve(
        "training" if name == "loss" else name.replace("heldout/", "held-out ").replace("_", " "),
        [line["step"] for line in told],
        [line[name] for line in told],
        (ends[0], ends[1]) if banded else None,
        smooth=name == "loss",
    )


def _markdown(report: Mapping[str, Any], pictures: Sequence[str]) -> str:
    time, place, trouble = report["time"], report["where"], report["trouble"]
    done = report["updates"]
    counts = ", ".join(f"{count:,} {name}" for name, count in report["parameters"].items())
    known = {"status", "stage", "base", "updates", "batch_size", "parameters"}
    known |= {"where", "time", "final", "trouble", "config", "held-out"}
    facts = {
        "Status": report["status"],
        "Updates": f"{done['done']:,} of {done['of']:,}, {done['before this session']:,} before this session",
        "Base": report["base"],
        "Batch": f"{report['batch_size']:,} over all devices",
        "Parameters": counts,
        **{name: value for name, value in report.items() if name not in known},
        "Devices": f"{place['devices']} on {place['hosts']} host{'s' * (place['hosts'] > 1)}",
        "Versions": ", ".join(f"{name} {number}" for name, number in place["versions"].items()),
        "Time": f"{clock(time['total_seconds'])} over {time['sessions']} session{'s' * (time['sessions'] > 1)}",
        "Goodput": f"{time['goodput']:.1%}",
    }
    spent = sorted(time["seconds"].items(), key=lambda part: -part[1])
    parts = [
        f"# {report['stage']}: {report['status']}\n",
        _table(("", ""), [(name, value) for name, value in facts.items() if value != ""]),
        *(f"![{name.partition('.')[0]}]({name})\n" for name in pictures),
        _heldout(report.get("held-out") or {}),
        "## Final numbers\n",
        _table(
            ("", ""),
            [
                (name, f"{value:.6g}")
                for name, value in report["final"].items()
                if name not in (report.get("held-out") or {})
            ],
        ),
        "## Where the time went\n",
        _table(
            ("phase", "time", "share"),
            [(name, clock(x), f"{x / time['total_seconds']:.1%}") for name, x in spent],
        ),
        "## Trouble\n",
        _trouble(trouble),
        "## Config\n",
        f"```json\n{json.dumps(_json(report['config']), indent=2)}\n```\n",
    ]
    return "\n".join(part for part in parts if part)


def _heldout(held: Mapping[str, Any]) -> str:
    """The last measurement of held-out records; intervals are of 95 %."""
    if not held:
        return ""
    rows = [
        (
            name.removeprefix("heldout/").replace("_", " "),
            f"{held[name]:.6g}",
            f"{held[f'{name}_low']:.6g} to {held[f'{name}_high']:.6g}"
            if f"{name}_low" in held
            else "",
        )
        for name in sorted(held, key=lambda name: "face_" in name)
        if name.startswith("heldout/") and not name.endswith(("_low", "_high"))
    ]
    head = (f"{held['records']:,} records, after {held['step']:,} updates", "mean", "interval")
    return "## Held-out records\n\n" + _table(head, rows)


def _trouble(trouble: Mapping[str, Any]) -> str:
    """What went wrong, as a list; "None." where nothing did."""
    keys, lines = trouble["damaged records"], []
    if trouble["skipped updates"]:
        lines.append(f"- {trouble['skipped updates']} updates skipped for NaN or Inf")
    if keys:
        drawn = trouble["records drawn"]
        share = f" of {drawn:,} drawn ({len(keys) / drawn:.2%})" if drawn else ""
        rest = f", and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
        named = ", ".join(f"`{key}`" for key in keys[:SHOWN_KEYS])
        lines.append(
            f"- {len(keys)} damaged records{share}, replaced by other draws: {named}{rest}"
        )
    for one in trouble["damaged checkpoints"]:
        lines.append(f"- the checkpoint of step {one['step']} was passed over: {one['why']}")
    return "\n".join(lines or ["None."]) + "\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> str:
    body = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *body]) + "\n"


def _json(value: Any) -> Any:
    """Values that JSON has a word for: not finite ones are null."""
    if isinstance(value, Mapping):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
