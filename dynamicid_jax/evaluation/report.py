"""Results as tables.

DIR/results.json    about: {what: value}; leaks: {model: outcome (leaks.py)}; judges: {what for: "file: sha256"};
                        claims: {NUMBER: {
                        title, better ("higher", "lower" or ""), chance, value, low, high (of the 95 % interval), count,
                        ceiling, of_ceiling (null, or {value, low, high, count}), cpu, gpu, goal (null, or {least, most,
                        clear}), reached ("goal", "gpu", "cpu", "none", or "" where nothing is asked)}}
DIR/results.md      the same as a table
DIR/values.json     about, and every picture's values: {NUMBER: {function, samples: [[[person, value], ...], ...]}}

A number that could not be taken is null. The same pictures give the same files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.evaluation.claims import LEVELS, Bound, Requirement
from dynamicid_jax.evaluation.estimates import Estimate
from dynamicid_jax.evaluation.measures import Numbers
from dynamicid_jax.files import save_json, write_atomically

COLUMNS = ("number", "measured", "95 % interval", "chance", "judges' ceiling", "counted")
RESULTS, VALUES = "results.json", "values.json"
ASKED = ("floor, two cores", "floor, GPU", "goal", "reached")


def results(
    found: Numbers,
    ceiling: Numbers,
    requirements: Mapping[str, Requirement],
    about: Mapping[str, Any],
    judges: Mapping[str, str],
    leaks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that was measured, as plain values; the same for the same pictures."""
    rows = {}
    for name, measured in found.items():
        requirement = requirements.get(name, Requirement(name))
        estimate, top = measured.estimate, ceiling[name].estimate if name in ceiling else None
        judged = of_ceiling(estimate, top) if requirement.of_ceiling else estimate
        rows[name] = {
            "title": requirement.title,
            "better": requirement.better,
            "chance": requirement.chance,
            **estimate.to_json(),
            "ceiling": None if top is None else top.to_json(),
            "of_ceiling": judged.to_json() if requirement.of_ceiling else None,
            **dict(zip(LEVELS, map(_asked, requirement.bounds), strict=True)),
            "reached": reached(requirement, judged),
        }
    return plain(
        {"about": dict(about), "leaks": leaks or {}, "judges": dict(judges), "claims": rows}
    )


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
    out: Path, made: Mapping[str, Any], requirements: Mapping[str, Requirement], found: Numbers
) -> None:
    """Writes results.json, results.md, and values.json with every picture's values, for comparisons.

    Raises:
        OutputError: they cannot be written.
    """
    save_json(dict(made), out / RESULTS)
    values = {name: measured.to_json() for name, measured in found.items()}
    save_json({"about": dict(made["about"]), "values": values}, out / VALUES)
    write_text(out / "results.md", table(made, requirements))


def write_text(file: Path, text: str) -> None:
    """Writes a text file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(file, lambda stream: stream.write(text.encode()))


def table(made: Mapping[str, Any], requirements: Mapping[str, Requirement]) -> str:
    """The numbers in the suite's order, then what is measured besides."""
    lines = [f"{name}: {value}  " for name, value in made["about"].items()]
    for heading, rows in sections(made, requirements):
        asked = any(one.bounds != Requirement("").bounds for _, one in rows)
        columns = [*COLUMNS, *ASKED] if asked else list(COLUMNS)
        lines += ["", *([heading, ""] if heading else [])]
        lines += [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        lines += [f"| {' | '.join(cells(*row, asked))} |" for row in rows]
    return "\n".join(lines) + "\n"


def sections(
    made: Mapping[str, Any], requirements: Mapping[str, Requirement]
) -> list[tuple[str, list[tuple[Mapping[str, Any], Requirement]]]]:
    """(heading, [(a number's row, what is asked of it)]), for tables."""
    claims = made["claims"]
    named = [(claims[name], one) for name, one in requirements.items() if name in claims]
    rest = [(row, Requirement(name)) for name, row in claims.items() if name not in requirements]
    found = [("", named), ("Measured besides:", rest)]
    return [(heading, rows) for heading, rows in found if rows]


def cells(row: Mapping[str, Any], requirement: Requirement, asked: bool) -> list[str]:
    """A number's line."""
    measured = number(row["value"])
    if row["of_ceiling"] is not None:
        measured += f" ({number(row['of_ceiling']['value'])} of ceiling)"
    ceiling = "" if row["ceiling"] is None else number(row["ceiling"]["value"])
    interval = f"{number(row['low'])} to {number(row['high'])}"
    chance = "" if row["chance"] is None else number(row["chance"])
    line = [row["title"], measured, interval, chance, ceiling, str(row["count"])]
    return [*line, *map(_words, requirement.bounds), row["reached"]] if asked else line


def number(value: float | None) -> str:
    """Three decimals; dB and the like with two."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.3f}"


def _words(bound: Bound | None) -> str:
    return "" if bound is None else bound.words()


def _asked(bound: Bound | None) -> dict[str, Any] | None:
    return None if bound is None else vars(bound).copy()


def plain(value: Any) -> Any:
    """NaN becomes null, which JSON has."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
