"""What a run measured, and the tables of docs/PERFORMANCE.md made of it.

A document holds the tables of a suite between two comments, and everything else in it is left alone:

    <!-- rows: cpu -->
    ...
    <!-- end of rows: cpu -->
"""

import json
import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("dynamicid-jax", "jax", "jaxlib", "flax", "torch", "diffusers")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        group: heading of its table.
        name: what was measured.
        unit: of the values: "s" where less is better, or a rate such as "images/s".
        values: every repetition; empty: not measured here.
        tflop: operations of one value, in 10^12; None where that means nothing.
        per: what a rate counts per value's TFLOP (pictures of a batch).
        peak_gb: the most memory that a process with this row alone had, where that was asked for.
        compiling_gb: the same of a process that also compiled.
    """

    group: str
    name: str
    unit: str = "s"
    values: tuple[float, ...] = ()
    tflop: float | None = None
    per: float = 1.0
    peak_gb: float | None = None
    compiling_gb: float | None = None

    @property
    def rate(self) -> float | None:
        """TFLOP/s at the median."""
        if not self.values or self.tflop is None:
            return None
        middle = statistics.median(self.values)
        seconds = middle if self.unit == "s" else self.per / middle
        return self.tflop / seconds


@dataclass(frozen=True)
class Results:
    """A run of a suite.

    Attributes:
        suite: its name.
        machine: processor, cores, device.
        peak: TFLOP/s that shares are told of, and `peak_of` what that is.
        versions: of the packages that computed.
        day: when.
        rows: in the suite's order.
        notes: what else is to be said, one line each.
    """

    suite: str
    rows: Sequence[Row]
    peak: float | None = None
    peak_of: str = ""
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    day: str = ""
    notes: Sequence[str] = ()

    def save(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Reads what `save` wrote."""
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        rows = [Row(**{**row, "values": tuple(row["values"])}) for row in values.pop("rows")]
        return cls(**{**values, "notes": tuple(values["notes"])}, rows=rows)


def machine(device: str) -> str:
    """Processor and cores in words, and the device that computed."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {device}"


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def today() -> str:
    """As the documents write it."""
    return str(date.today())


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - int(f"{value:e}".split("e")[1]))
    return f"{value:.{min(digits, 4)}f}"


def tables(results: Results) -> str:
    """Markdown: where and when, then one table per group."""
    lines = []
    if results.day:
        packages = ", ".join(f"{name} {number}" for name, number in results.versions.items())
        lines += [f"{results.machine}; {results.day}; {packages}.", ""]
    if results.peak is not None:
        lines += [f"Share: of {number(results.peak)} TFLOP/s, {results.peak_of}.", ""]
    for group in dict.fromkeys(row.group for row in results.rows):
        lines += [f"**{group}**", ""]
        lines += ["| what | median | lowest | highest | unit | TFLOP | share | peak GB |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [_line(row, results.peak) for row in results.rows if row.group == group]
        lines += [""]
    lines += [f"- {note}" for note in results.notes]
    return "\n".join(lines).strip() + "\n"


def _line(row: Row, peak: float | None) -> str:
    middle = low = high = share = ""
    if row.values:
        middle, low, high = (number(pick(row.values)) for pick in (statistics.median, min, max))
    if row.rate is not None and peak is not None:
        share = f"{100 * row.rate / peak:.0f} %"
    peak_gb = number(row.peak_gb)
    if row.compiling_gb is not None:
        peak_gb += f" ({number(row.compiling_gb)} compiling)"
    cells = (row.name, middle, low, high, row.unit, number(row.tflop), share, peak_gb)
    return "| " + " | ".join(cells) + " |"


def write_into(document: Path, results: Results) -> None:
    """Replaces a suite's tables in a document.

    Raises:
        SystemExit: the document has no place for them.
    """
    begin, end = (f"<!-- {words}: {results.suite} -->" for words in ("rows", "end of rows"))
    text = document.read_text("utf-8")
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", text, re.DOTALL)
    if found is None:
        raise SystemExit(
            f"{document}: expected the lines {begin} and {end}, between which tables go"
        )
    body = f"{begin}\n\n{tables(results)}\n{end}"
    document.write_text(text[: found.start()] + body + text[found.end() :], encoding="utf-8")


def ratio(rows: Iterable[Row], one: str, other: str) -> float | None:
    """The median of one row's values over another's, pair by pair; None where either is missing."""
    named = {row.name: row.values for row in rows}
    if not named.get(one) or not named.get(other):
        return None
    return statistics.median(a / b for a, b in zip(named[one], named[other], strict=False))
