"""Sweep files, read and checked: all that can be wrong in one is said in one line, before anything runs."""

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from dynamicid_jax import python_files
from dynamicid_jax.errors import InputError
from dynamicid_jax.sweeps.space import LONGEST_NAME, Sweep, Trial, named

OWN = ("model", "out", "only")  # of `dynamicid evaluate`: a sweep sets them for every trial itself
WRITTEN = (".json", ".md", ".png", ".sbatch")  # endings of a sweep's own files


def read_sweep(file: Path) -> Sweep:
    """Runs a sweep file.

    Raises:
        InputError: no such file, one that does not run, no `get_sweep` in it, values of another kind than a sweep has,
            or trials that cannot be told apart.
    """
    if not file.is_file():
        raise InputError(f"--sweep {file}: no such file; sweeps are in configs/sweeps/")
    sweep = python_files.call(file, "get_sweep", "a sweep returns a Sweep", _sweep_of)
    check_sweep(sweep, str(file))
    return sweep


def _sweep_of(made: Any) -> Sweep:
    """What `get_sweep` gives: a sweep, or changes of recipes that are named elsewhere."""
    if isinstance(made, Sweep):
        return made
    rows: list[Any] = list(made) if isinstance(made, Iterable) else [None]
    strange = not all(isinstance(row, Mapping) and all(map(_is_word, row)) for row in rows)
    if strange or isinstance(made, Mapping):
        raise InputError(
            f"get_sweep() gave a {type(made).__name__}; expected a Sweep, or rows {{key: value}}"
        )
    return Sweep((), named(rows))


def check_sweep(sweep: Sweep, where: str) -> None:
    """Whether a sweep's values are of their kinds and its trials can be told apart.

    Raises:
        InputError: they are not, or cannot.
    """
    check_kinds(sweep, where)
    names = [trial.name for trial in sweep.trials]
    if not names:
        raise InputError(f"{where}: has no trials")
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(
                f"{where}: two trials are called {name!r}; give every one its own name"
            )
        _check_name(name, where)
    named_trials = {"reference": [*sweep.references.values()], "published": [*sweep.published]}
    for what, others in named_trials.items():
        if unknown := sorted(set(others) - set(names)):
            raise InputError(f"{where}: {what} {unknown[0]!r}: expected one of {', '.join(names)}")
    _check_apart(sweep, where)


def check_recipes(recipes: Sequence[str], where: str) -> None:
    """Whether recipes that follow each other can be told apart: their names are folders.

    Raises:
        InputError: two have one name.
    """
    for stem, count in Counter(Path(recipe).stem for recipe in recipes).items():
        if count > 1:
            raise InputError(
                f"{where}: {count} recipes are called {stem!r}; name every recipe once"
            )


def check_options(values: Mapping[str, Any], where: str) -> None:
    """Whether values can be options of `dynamicid evaluate`.

    Raises:
        InputError: not words and numbers, or something that a sweep sets itself.
    """
    _expect(_is_table(values), f"{where}: evaluate", "{option: value}", values)
    for key, value in values.items():
        if key in OWN:
            raise InputError(f"{where}: evaluate: {key} is the sweep's own to set; leave it out")
        plain = value is None or isinstance(value, str | int | float)
        _expect(plain, f"{where}: evaluate: {key}", "a word or a number", value)


def check_kinds(sweep: Sweep, where: str) -> None:
    """Whether a sweep's values are of their kinds.

    Raises:
        InputError: one is not.
    """
    trials = _is_list(sweep.trials) and all(isinstance(one, Trial) for one in sweep.trials)
    _expect(trials, f"{where}: trials", "a list of Trials", sweep.trials)
    _expect(_is_words(sweep.shown), f"{where}: shown", "a list of words", sweep.shown)
    references = _is_table(sweep.references) and all(map(_is_word, sweep.references.values()))
    _expect(references, f"{where}: references", "{pattern: trial}", sweep.references)
    published = _is_table(sweep.published) and all(map(_is_numbers, sweep.published.values()))
    wanted = "{trial: {measure: difference}}"
    _expect(published, f"{where}: published", wanted, sweep.published)
    places: list[tuple[Sweep | Trial, str]] = [(sweep, where)]
    places += [(one, f"{where}: trial {one.name!r}") for one in sweep.trials]
    for one, place in places:
        _expect(_is_words(one.recipes), f"{place}: recipes", "a list of file names", one.recipes)
        check_recipes(one.recipes, place)
        _expect(_is_table(one.changes), f"{place}: changes", "{key: value}", one.changes)
        for key, value in one.changes.items():
            _expect(_is_literal(value), f"{place}: changes: {key}", "a number, word or list", value)
        check_options(one.evaluate, place)


def _check_name(name: Any, where: str) -> None:
    if (
        not _is_word(name)
        or name.startswith(".")
        or not all(c.isalnum() or c in "_-.=" for c in name)
    ):
        raise InputError(
            f"{where}: trial {name!r}: expected a name of letters, digits, '_', '-', '.' and '='"
        )
    if len(name) > LONGEST_NAME or name.endswith(WRITTEN):
        raise InputError(
            f"{where}: trial {name[:40]!r}: expected at most {LONGEST_NAME} characters, and no ending of a file"
        )


def _check_apart(sweep: Sweep, where: str) -> None:
    """No trial twice under two names: it would be trained twice to say the same."""
    wholes = [sweep.whole(trial) for trial in sweep.trials]
    said = {
        one.name: repr(
            [list(one.recipes), *(sorted(some.items()) for some in (one.changes, one.evaluate))]
        )
        for one in wholes
    }
    for one, other in combinations(said, 2):
        if said[one] == said[other]:
            raise InputError(
                f"{where}: trials {one!r} and {other!r} have the same recipes, changes and evaluation; leave one out"
            )


def _expect(fits: bool, where: str, wanted: str, got: Any) -> None:
    if not fits:
        raise InputError(f"{where}: expected {wanted}, got {' '.join(f'{got!r:.60}'.split())}")


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_words(value: Any) -> bool:
    return _is_list(value) and all(map(_is_word, value))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_word, value))


def _is_numbers(value: Any) -> bool:
    return _is_table(value) and all(isinstance(one, int | float) for one in value.values())


def _is_literal(value: Any) -> bool:
    """Whether a value comes back from the command line, where it is written as Python would."""
    try:
        return ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return False
