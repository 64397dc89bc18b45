"""Results as tables: results.json with every number, results.md with the suite's claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.evaluation.claims import Bound, Requirement
from dynamicid_jax.evaluation.estimates import Estimate
from dynamicid_jax.evaluation.measures import Estimates
from dynamicid_jax.inference.recipe import save_json, write_atomically

COLUMNS = (
    "claim",
    "measured",
    "95 % interval",
    "judges' ceiling",
    "pictures",
    "floor, two cores",
    "floor, GPU",
    "goal",
    "reached",
)
HEAD = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
LEVELS = ("cpu", "gpu", "goal")


def results(
    found: Estimates,
    ceiling: Estimates,
    requirements: Mapping[str, Requirement],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that was measured, as plain values; the same for the same pictures."""
    rows = {}
    for name, estimate in found.items():
        requirement = requirements.get(name, Requirement(name))
        judged = of_ceiling(estimate, ceiling.get(name)) if requirement.of_ceiling else estimate
        rows[name] = {
            "title": requirement.title,
            **estimate.to_json(),
            "ceiling": ceiling[name].to_json() if name in ceiling else None,
            "of_ceiling": judged.to_json() if requirement.of_ceiling else None,
            **dict(zip(LEVELS, map(_asked, requirement.bounds), strict=True)),
            "reached": reached(requirement, judged),
        }
    return _plain({"about": dict(about), "claims": rows})


def of_ceiling(found: Estimate, ceiling: Estimate | None) -> Estimate:
    """An estimate as a share of what the judges reach on the truth."""
    top = ceiling.value if ceiling is not None and ceiling.value > 0 else float("nan")
    return Estimate(found.value / top, found.low / top, found.high / top, found.count)


def reached(requirement: Requirement, found: Estimate) -> str:
    """The highest level that holds: "goal", "gpu", "cpu", "none", or "" where nothing is asked."""
    pairs = zip(LEVELS, requirement.bounds, strict=True)
    asked = [(level, bound) for level, bound in pairs if bound is not None]
    held = [level for level, bound in asked if bound.holds(found)]
    return (held[-1] if held else "none") if asked else ""


def write_results(
    out: Path, made: Mapping[str, Any], requirements: Mapping[str, Requirement]
) -> None:
    """Writes results.json and results.md.

    Raises:
        OutputError: they cannot be written.
    """
    save_json(dict(made), out / "results.json")
    text = table(made, requirements)
    write_atomically(out / "results.md", lambda file: file.write(text.encode()))


def table(made: Mapping[str, Any], requirements: Mapping[str, Requirement]) -> str:
    """The claims in the suite's order, then what is measured besides."""
    about, claims = made["about"], made["claims"]
    order = [name for name in requirements if name in claims]
    rest = [name for name in claims if name not in requirements]
    lines = [f"{name}: {value}  " for name, value in about.items()]
    lines += ["", *HEAD]
    lines += [_line(claims[name], requirements[name]) for name in order]
    if rest:
        lines += ["", "Measured besides:", "", *HEAD]
        lines += [_line(claims[name], Requirement(name)) for name in rest]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any], requirement: Requirement) -> str:
    measured = number(row["value"])
    if row["of_ceiling"] is not None:
        measured += f" ({number(row['of_ceiling']['value'])} of ceiling)"
    ceiling = "" if row["ceiling"] is None else number(row["ceiling"]["value"])
    interval = f"{number(row['low'])} to {number(row['high'])}"
    asked = [_words(bound) for bound in requirement.bounds]
    cells = [row["title"], measured, interval, ceiling, str(row["count"]), *asked, row["reached"]]
    return "| " + " | ".join(cells) + " |"


def number(value: float | None) -> str:
    """Three decimals; dB and the like with two."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.3f}"


def _words(bound: Bound | None) -> str:
    return "" if bound is None else bound.words()


def _asked(bound: Bound | None) -> dict[str, Any] | None:
    return None if bound is None else vars(bound).copy()


def _plain(value: Any) -> Any:
    """NaN becomes null, which JSON has."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
