"""The engine that applies a rule table both ways, strictly.

Everything that does not fit is gathered in one `Report`, from names and shapes alone, before any
tensor is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dynamicid_jax.convert.container import Entry
from dynamicid_jax.convert.rules import Ignored, Rule, Shape, Table, Transform, fill_in, pattern
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.text import printable

FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass
class Report:
    """Everything that does not fit between a checkpoint and the model, as lines of text."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    misshaped: list[str] = field(default_factory=list)

    KINDS = ("missing", "unexpected", "ambiguous", "misshaped")

    def add(self, other: "Report") -> None:
        """Takes in another file's entries."""
        for kind in self.KINDS:
            getattr(self, kind).extend(getattr(other, kind))

    @property
    def count(self) -> int:
        """How many entries do not fit."""
        return sum(len(getattr(self, kind)) for kind in self.KINDS)

    def text(self) -> str:
        """The whole report, one line per entry."""
        lines = []
        for kind in self.KINDS:
            entries = getattr(self, kind)
            if entries:
                lines += [f"{kind} ({len(entries)}):", *(f"  {printable(one)}" for one in entries)]
        return "\n".join(lines)

    def summary(self, shown: int = 3) -> str:
        """One line: the counts, and the first entries of each kind."""
        parts = []
        for kind in self.KINDS:
            entries = getattr(self, kind)
            if entries:
                more = ", ..." if len(entries) > shown else ""
                parts.append(f"{len(entries)} {kind} ({', '.join(entries[:shown])}{more})")
        return "; ".join(parts)

    def check(self, advice: str) -> None:
        """Does nothing for an empty report.

        Raises:
            MismatchError: the report is not empty; `advice` ends its message.
        """
        if self.count:
            raise MismatchError(self, advice)


class MismatchError(WeightsError):
    """Weights that do not fit the model; `report` holds every entry."""

    def __init__(self, report: Report, advice: str) -> None:
        text = f"weights do not fit the model: {report.summary()}; {advice}"
        super().__init__(printable(text))
        self.report = report


@dataclass(frozen=True)
class Step:
    """One tensor's way: where it goes, and how."""

    path: str
    transform: Transform


def plan(
    table: Table, entries: Mapping[str, Entry], expected: Mapping[str, Shape], where: str
) -> tuple[dict[str, Step], Report]:
    """Finds every tensor's place without reading any.

    Args:
        table: the rules.
        entries: what the checkpoint has.
        expected: shape of every one of our paths that this checkpoint has to fill.
        where: the checkpoint's name for messages.

    Returns:
        steps per checkpoint name, and what does not fit.
    """
    steps: dict[str, Step] = {}
    report = Report()
    sources: dict[str, str] = {}
    for name, entry in entries.items():
        found = [(line, match) for line in table if (match := line.torch_pattern.fullmatch(name))]
        if len(found) > 1:
            report.ambiguous.append(f"{where}: {name} fits {len(found)} rules")
            continue
        if found and isinstance(found[0][0], Ignored):
            continue
        line, match = found[0] if found else (None, None)
        path = fill_in(line.ours, match.groupdict()) if isinstance(line, Rule) and match else ""
        if not isinstance(line, Rule) or path not in expected:
            report.unexpected.append(f"{where}: {name} {list(entry.shape)}")
        elif path in sources:
            report.ambiguous.append(f"{where}: {name} and {sources[path]} both fill {path}")
        else:
            sources[path] = name
            steps[name] = Step(path, line.transform)
            _check_entry(name, entry, line.transform, expected[path], where, report)
    for path in expected.keys() - sources.keys():
        theirs = next((name for name, _ in torch_names(table, path)), f"nothing for {path}")
        report.missing.append(f"{where}: {theirs}")
    report.missing.sort()
    return steps, report


def _check_entry(
    name: str, entry: Entry, transform: Transform, wanted: Shape, where: str, report: Report
) -> None:
    """Shape and kind of one tensor."""
    if entry.dtype not in FLOATS:
        report.misshaped.append(f"{where}: {name} is {entry.dtype}, expected floating point")
    elif transform.our_shape(entry.shape) != wanted:
        shapes = f"{list(entry.shape)}, expected {list(transform.torch_shape(wanted))}"
        report.misshaped.append(f"{where}: {name} is {shapes}")


def torch_names(table: Table, path: str) -> Iterator[tuple[str, Transform]]:
    """The names under which a path is written."""
    for line in table:
        if (
            isinstance(line, Rule)
            and not line.read_only
            and (match := line.our_pattern.fullmatch(path))
        ):
            yield fill_in(line.torch, match.groupdict()), line.transform


def to_ours(
    table: Table, state: Mapping[str, Any], expected: Mapping[str, Shape], where: str = "state dict"
) -> dict[str, np.ndarray]:
    """A state dict in memory as flat parameters {path: array}.

    Raises:
        MismatchError: with everything that does not fit.
    """
    arrays = {name: np.asarray(value) for name, value in state.items()}
    entries = {name: Entry(_code(array), array.shape) for name, array in arrays.items()}
    steps, report = plan(table, entries, expected, where)
    report.check("the rules and the checkpoint must be of one kind")
    return {
        step.path: np.asarray(step.transform.to_ours(arrays[name]), order="C")
        for name, step in steps.items()
    }


def to_torch(
    table: Table, flat: Mapping[str, Any], beside: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Flat parameters as a state dict of the checkpoint's names and layouts.

    Args:
        table: the rules.
        flat: parameters by path.
        beside: what the checkpoint held beside weights (`ignored`), to be written back.

    Raises:
        MismatchError: a path without a rule, or with several.
    """
    report, state = Report(), {}
    for path, value in flat.items():
        names = list(torch_names(table, path))
        if len(names) == 1:
            name, transform = names[0]
            state[name] = np.asarray(transform.to_torch(np.asarray(value)), order="C")
        elif names:
            report.ambiguous.append(f"{path} fits {len(names)} rules")
        else:
            report.unexpected.append(path)
    report.check("the rules and the parameters must be of one kind")
    return state | _fills(table, flat) | {k: np.asarray(v) for k, v in (beside or {}).items()}


def ignored(table: Table, state: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a state dict that hold no weight of ours, such as counters of steps."""
    lines = [line for line in table if isinstance(line, Ignored)]
    return {
        name: value
        for name, value in state.items()
        if any(line.torch_pattern.fullmatch(name) for line in lines)
    }


def _fills(table: Table, paths: Iterable[str]) -> dict[str, np.ndarray]:
    """Tensors that a checkpoint has beside weights and that are not ours to keep."""
    fills = {}
    for line in table:
        if isinstance(line, Ignored) and line.fill is not None:
            beside = pattern(line.beside)
            for match in filter(None, map(beside.fullmatch, paths)):
                fills[fill_in(line.torch, match.groupdict())] = np.asarray(line.fill, np.int64)
    return fills


def _code(array: np.ndarray) -> str:
    kinds = {
        "float64": "F64",
        "float32": "F32",
        "float16": "F16",
        "bfloat16": "BF16",
        "int64": "I64",
    }
    return kinds.get(array.dtype.name, array.dtype.name)
