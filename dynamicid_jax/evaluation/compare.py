"""Two models on the same suite: is the difference real?

    difference = f(means of one) - f(means of the other)       over the people of whom both have values

Both runs drew the same people, prompts and noise, so pictures are paired; the bootstrap draws people, and takes all
pictures of a drawn person from both runs (estimates.py). A difference is real where its 95 % interval, over two people
at least, does not hold 0.

DIR/comparison.json    about: {this, other}; differences: {NUMBER: {title, better, this, other, value, low, high, count,
                       people, real, winner ("this", "other", or "" where it is not real or nothing is better)}}
DIR/comparison.md      the same as a table
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.estimates import Measured, paired_difference
from dynamicid_jax.evaluation.report import RESULTS, VALUES, number, plain, write_text
from dynamicid_jax.files import save_json

COMPARISON = "comparison.json"
SAME = ("run", "judges")  # of `about`: what makes pictures and numbers comparable
COLUMNS = ("number", "this", "other", "difference", "95 % interval", "people", "better")


def compare(out: Path, other: Path) -> dict[str, Any]:
    """The differences of two evaluations, `out` less `other`.

    Args:
        out: of an evaluation that was judged.
        other: of another one, of the same suite, people and judges.

    Raises:
        InputError: one was not judged yet, or they do not compare.
    """
    one, two = _read(out), _read(other)
    _check_same(one["about"], two["about"], other)
    rows = {}
    for name, measured in one["values"].items():
        if name not in two["values"] or measured.function != two["values"][name].function:
            continue
        rows[name] = _row(measured, two["values"][name], one["claims"].get(name, {}), name)
    if not rows:
        raise InputError(f"--compare {other}: has no numbers in common with {out}")
    return plain({"about": {"this": one["about"], "other": two["about"]}, "differences": rows})


def check_other(other: Path, about: Mapping[str, Any], names: Iterable[str] = ()) -> None:
    """Whether an evaluation that is about to be made can be compared with another one.

    Args:
        other: of the other one.
        about: "run" and "judges" of this one.
        names: of its numbers, where they are known; one in common is enough.

    Raises:
        InputError: it was not judged, is of another suite, of other people or judges, or has none of the numbers.
    """
    two, named = _read(other), set(names)
    _check_same(about, two["about"], other)
    if named and not named & two["values"].keys():
        raise InputError(
            f"--compare {other}: has none of this evaluation's numbers ({min(named)}, ...); expected the same claims"
        )


def _check_same(one: Mapping[str, Any], two: Mapping[str, Any], other: Path) -> None:
    for name in SAME:
        if one.get(name) != two.get(name):
            raise InputError(
                f"--compare {other}: {name} is {two.get(name)!r}, here {one.get(name)!r}; "
                "expected the same suite, people and judges"
            )


def _row(one: Measured, two: Measured, known: Mapping[str, Any], name: str) -> dict[str, Any]:
    found, people = paired_difference(one, two), one.people & two.people
    better = known.get("better", "")
    winner = ""
    real = found.clear and len(people) > 1  # an interval over one person has no width
    if real and better:
        winner = "this" if (found.value > 0) == (better == "higher") else "other"
    return {
        "title": known.get("title", name),
        "better": better,
        "this": one.of(people).estimate.value,
        "other": two.of(people).estimate.value,
        **found.to_json(),
        "people": len(people),
        "real": real,
        "winner": winner,
    }


def write_comparison(out: Path, made: Mapping[str, Any]) -> str:
    """Writes comparison.json and comparison.md; returns the table.

    Raises:
        OutputError: they cannot be written.
    """
    text = comparison_table(made)
    save_json(dict(made), out / COMPARISON)
    write_text(out / "comparison.md", text)
    return text


def comparison_table(made: Mapping[str, Any]) -> str:
    """One line per number."""
    about = made["about"]
    lines = [f"this: {about['this']['model']}  ", f"other: {about['other']['model']}  ", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    lines += [f"| {' | '.join(comparison_cells(row))} |" for row in made["differences"].values()]
    return "\n".join(lines) + "\n"


def comparison_cells(row: Mapping[str, Any]) -> list[str]:
    """A number's line."""
    verdict = row["winner"] or ("differs" if row["real"] else "no difference shown")
    return [
        row["title"],
        number(row["this"]),
        number(row["other"]),
        number(row["value"]),
        f"{number(row['low'])} to {number(row['high'])}",
        str(row["people"]),
        verdict,
    ]


def _read(folder: Path) -> dict[str, Any]:
    """The values of an evaluation, and its rows."""
    if not (folder / VALUES).is_file() or not (folder / RESULTS).is_file():
        raise InputError(f"{folder}: holds no {VALUES}; judge its pictures first")
    kept, rows = read_json(folder / VALUES), read_json(folder / RESULTS)
    try:
        values = {name: Measured.from_json(one) for name, one in kept["values"].items()}
        return {"about": dict(kept["about"]), "values": values, "claims": dict(rows["claims"])}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{folder / VALUES}: not written by this command; judge again") from None
