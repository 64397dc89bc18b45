"""The whole sweep on one page: what differs, what was measured, how the losses went.

DIR/report.md     a sorted table with 95 % intervals; of recipes and evaluations only what differs; rows not run stay
                  empty; how each row differs from its reference, paired by picture; and whether its signs are those
                  that others published
DIR/table.json    the same, for programs
DIR/curves.png    held-out losses over the updates, a panel per recipe and five trials
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.evaluation.compare import compare
from dynamicid_jax.evaluation.report import VALUES, number
from dynamicid_jax.evaluation.written import Written, with_interval
from dynamicid_jax.files import save_json, write_atomically
from dynamicid_jax.jobs.job import State, read_state
from dynamicid_jax.sweeps.curves import panels
from dynamicid_jax.sweeps.differs import differences
from dynamicid_jax.sweeps.results import read_claims
from dynamicid_jax.sweeps.signs import HEAD, Sign, sign, sign_cells, summary
from dynamicid_jax.sweeps.space import Sweep
from dynamicid_jax.sweeps.trial import RESULTS
from dynamicid_jax.training.curves import side_by_side

REPORT, TABLE, CURVES = "report.md", "table.json", "curves.png"


@dataclass(frozen=True)
class Row:
    """One trial of the table.

    Attributes:
        name: the trial's.
        about: what it is.
        differs: its values of what differs between trials (differs.py); "" where it says nothing of it.
        measured: by name; empty for a trial that was not run.
        state: of its job.
        reference: the trial that it is compared with, or None.
        differences: to the reference, by the measure's name, as evaluation/compare.py has them.
        signs: of those that others published, too.
    """

    name: str
    about: str
    differs: Mapping[str, Any]
    measured: Mapping[str, Written] = field(default_factory=dict)
    state: State = field(default_factory=State)
    reference: str | None = None
    differences: Mapping[str, Written] = field(default_factory=dict)
    signs: Mapping[str, Sign] = field(default_factory=dict)


def write_report(sweep: Sweep, out: Path, sort: str | None = None) -> str:
    """Writes the three files; returns the table.

    Args:
        sweep: all rows.
        out: the sweep's folder; it may not be there yet.
        sort: the measure to sort by; None: the first column's.

    Raises:
        InputError: a measure that no trial has, or results of something else.
        OutputError: the folder cannot be written.
    """
    rows = list(read_table(sweep, out))
    names = columns(rows, sweep.shown)
    rows = sort_rows(rows, sort or (names[0] if names else None))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    save_json([_plain(row) for row in rows], out / TABLE)
    pictured = draw_curves(sweep, out)
    text = page(rows, names, out.name, pictured)
    write_atomically(out / REPORT, lambda file: file.write(text.encode()))
    return text


def read_table(sweep: Sweep, out: Path) -> Iterator[Row]:
    """Every row of a sweep, with what its folder holds by now."""
    differs = differences(sweep)
    for trial in sweep.trials:
        folder = out / trial.name
        reference = sweep.reference(trial.name)
        measured = _differences(folder, out / reference) if reference else {}
        published = sweep.published.get(trial.name, {}) if reference else {}
        yield Row(
            name=trial.name,
            about=trial.about,
            differs=differs[trial.name],
            measured=read_claims(folder / RESULTS),
            state=read_state(folder),
            reference=reference,
            differences=measured,
            signs={name: sign(value, measured.get(name)) for name, value in published.items()},
        )


def _differences(folder: Path, reference: Path) -> Mapping[str, Written]:
    """Of two trials' evaluations; nothing where one is not there, or where they do not compare."""
    one, other = folder / RESULTS, reference / RESULTS
    if not all((results / VALUES).is_file() for results in (one, other)):
        return {}
    try:
        return compare(one, other)["differences"]
    except InputError:  # another suite, or other people
        return {}


def columns(rows: Sequence[Row], shown: Sequence[str]) -> list[str]:
    """Names of the measures in the table: those that the sweep shows and somebody has, or all."""
    there = list(dict.fromkeys(name for row in rows for name in row.measured))
    return [name for name in shown if name in there] or there


def sort_rows(rows: Sequence[Row], by: str | None) -> list[Row]:
    """Best first, those without the measure last and in their own order.

    Raises:
        InputError: a measure that no row has.
    """
    if by is None:
        return list(rows)
    known = [row for row in rows if by in row.measured]
    if not known:
        there = columns(rows, ())
        raise InputError(
            f"--sort {by}: no trial has it; there are {', '.join(there) or 'none yet'}"
        )
    down = -1.0 if wants_most(known[0].measured[by]) else 1.0

    def place(row: Row) -> tuple[bool, float]:
        value = row.measured.get(by, {}).get("value")
        return value is None, 0.0 if value is None else down * value

    return sorted(rows, key=place)


def wants_most(measured: Written) -> bool:
    """Whether more is better: unless it is said to be lower, or asked to be at most something."""
    if measured.get("better"):
        return measured["better"] == "higher"
    asked = [measured.get(level) for level in ("cpu", "gpu", "goal")]
    return not any(one and one.get("most") is not None for one in asked)


def page(rows: Sequence[Row], names: Sequence[str], title: str, pictured: bool) -> str:
    """report.md."""
    keys = list(rows[0].differs) if rows else []
    head = ["trial", *keys, *(_title(rows, name) for name in names), "state"]
    lines = [f"# Sweep {title}", "", _line(head), "|" + " --- |" * len(head)]
    for row in rows:
        cells = [row.name, *(_value(row.differs[key]) for key in keys)]
        cells += [with_interval(row.measured.get(name)) for name in names]
        lines.append(_line([*cells, _state(row.state)]))
    lines += ["", "Values with 95 % intervals; an empty cell was not run, or not measured."]
    lines += [*_difference_lines(rows, names), *_sign_lines(rows)]
    if abouts := [f"- `{row.name}`: {row.about}" for row in rows if row.about]:
        lines += ["", *abouts]
    if failed := [f"- `{row.name}`: {row.state.error}" for row in rows if row.state.error]:
        lines += ["", "Failed:", "", *failed]
    if pictured:
        lines += ["", f"![losses]({CURVES})"]
    return "\n".join(lines) + "\n"


def _difference_lines(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    """The second table: rows less their references; bold where the interval is clear of zero."""
    compared = [row for row in rows if any(name in row.differences for name in names)]
    if not compared:
        return
    head = ["trial", "less", *(_title(rows, name) for name in names)]
    yield from (
        "",
        "## Differences, paired by picture",
        "",
        _line(head),
        "|" + " --- |" * len(head),
    )
    for row in compared:
        cells = [_difference(row.differences.get(name)) for name in names]
        yield _line([row.name, row.reference or "", *cells])
    yield ""
    yield "Means over the same people, prompts and noise; bold: the 95 % interval does not hold 0."


def _sign_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The third table: signs, a line per difference that others published."""
    told = [row for row in rows if row.signs]
    if not told:
        return
    yield from ("", "## Signs of published differences", "")
    yield from (_line(HEAD), "|" + " --- |" * len(HEAD))
    for row in told:
        for name, one in row.signs.items():
            published, same, clear = sign_cells(one)
            measured = _difference(row.differences.get(name)).strip("*")
            title = _title(rows, name)
            yield _line([row.name, row.reference or "", title, published, measured, same, clear])
    yield ""
    yield from summary({row.name: row.signs for row in told})


def _difference(measured: Written | None) -> str:
    if measured is None or measured.get("value") is None:
        return ""
    text = f"{measured['value']:+.3f} ({number(measured['low'])} to {number(measured['high'])})"
    return f"**{text}**" if measured.get("real") else text


def _title(rows: Sequence[Row], name: str) -> str:
    found = next((row.measured[name] for row in rows if name in row.measured), {})
    return str(found.get("title", name))


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _state(state: State) -> str:
    if state.status == "new":
        return ""
    minutes = sum(state.seconds.values()) / 60
    return f"{state.status}, {minutes:.1f} min"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(row: Row) -> dict[str, Any]:
    return {
        "trial": row.name,
        "about": row.about,
        "differs": {key: value for key, value in row.differs.items() if value != ""},
        "measured": dict(row.measured),
        "reference": row.reference,
        "differences": dict(row.differences),
        "signs": {name: asdict(one) for name, one in row.signs.items()},
        "status": row.state.status,
        "seconds": dict(row.state.seconds),
        "error": row.state.error,
    }


def draw_curves(sweep: Sweep, out: Path) -> bool:
    """Draws the losses of all trials; False where none has told any."""
    made = list(panels(sweep, out))
    if made:
        sheet = side_by_side(made)
        write_atomically(out / CURVES, lambda file: sheet.save(file, format="PNG", optimize=True))
    return bool(made)
