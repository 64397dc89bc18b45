"""A sweep as values: trials, each a set of changes to the same recipes.

A sweep file (configs/sweeps/) has `get_sweep()`, which gives a `Sweep`, or yields changes {dotted key: value} for
recipes to be named by --recipes. `grid` and `random` make trials of ranges of values; anything cleverer (search that
learns from what it saw) is for Ray Tune, whose trials can call the same commands.
"""

import fnmatch
import itertools
import math
import runpy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.errors import InputError
from dynamicid_jax.types import Number

Changes = Mapping[str, Any]  # {dotted key of config.TrainConfig: value}


@dataclass(frozen=True)
class Trial:
    """One training and its evaluation.

    Attributes:
        name: of its folder: letters, digits, "_", "-", "." and "=".
        changes: what differs from the recipes; in every recipe of the trial.
        recipes: instead of the sweep's, for a trial that trains less.
        evaluate: options of `dynamicid evaluate`, beside the sweep's.
        about: what the trial is, for the table.
    """

    name: str
    changes: Changes = field(default_factory=dict)
    recipes: tuple[str, ...] = ()
    evaluate: Changes = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True)
class Sweep:
    """Trials of the same recipes.

    Attributes:
        recipes: files, in order; each trains on the model of the one before.
        trials: in the order of the table's empty rows.
        changes: of all trials.
        evaluate: options of `dynamicid evaluate` for all trials.
        shown: names of the measures in the table; empty: all.
        references: name of the trial that others are compared with, by pattern of their names (fnmatch).
    """

    recipes: tuple[str, ...]
    trials: tuple[Trial, ...]
    changes: Changes = field(default_factory=dict)
    evaluate: Changes = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)

    def whole(self, trial: Trial) -> Trial:
        """The trial with what the sweep says for all."""
        return replace(
            trial,
            recipes=trial.recipes or self.recipes,
            changes={**self.changes, **trial.changes},
            evaluate={**self.evaluate, **trial.evaluate},
        )

    def reference(self, name: str) -> str | None:
        """The trial with which one is compared; None for a reference itself, or where nothing is said."""
        if name in self.references.values():
            return None
        fits = (one for pattern, one in self.references.items() if fnmatch.fnmatch(name, pattern))
        return next(fits, None)

    def chosen(self, patterns: str | None) -> tuple[Trial, ...]:
        """Trials whose names match one of some patterns, parted by commas; all for None.

        Raises:
            InputError: a pattern that no trial matches.
        """
        if patterns is None:
            return self.trials
        names = [trial.name for trial in self.trials]
        wanted: set[str] = set()
        for pattern in (one.strip() for one in patterns.split(",")):
            found = fnmatch.filter(names, pattern)
            if not found:
                raise InputError(f"--only {pattern!r}: expected some of {', '.join(names)}")
            wanted.update(found)
        return tuple(trial for trial in self.trials if trial.name in wanted)


def grid(axes: Mapping[str, Sequence[Any]]) -> tuple[Trial, ...]:
    """Every combination of the values of some keys; the last key changes fastest."""
    rows = itertools.product(*axes.values())
    return _named(dict(zip(axes, row, strict=True)) for row in rows)


@dataclass(frozen=True)
class Between:
    """A range of numbers to draw from.

    Attributes:
        low: lower end.
        high: upper end.
        log: draws evenly on a logarithmic scale (both ends positive).
        whole: rounds to whole numbers.
    """

    low: Number
    high: Number
    log: bool = False
    whole: bool = False

    def draw(self, dice: np.random.Generator) -> Number:
        """One value, four digits of it."""
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = float(dice.uniform(*ends))
        value = float(f"{math.exp(value) if self.log else value:.4g}")
        return round(value) if self.whole else value


def random(
    axes: Mapping[str, Sequence[Any] | Between], count: int, seed: int = 0
) -> tuple[Trial, ...]:
    """Draws of values of some keys; more of them only add to those of a smaller `count`."""
    dice = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        rows.append(
            {
                key: axis.draw(dice)
                if isinstance(axis, Between)
                else axis[int(dice.integers(len(axis)))]
                for key, axis in axes.items()
            }
        )
    return _named(rows)


def _named(rows: Iterable[Changes]) -> tuple[Trial, ...]:
    """Trials named by number and by their values."""
    trials = []
    for number, row in enumerate(rows):
        values = "_".join(f"{key.rpartition('.')[2]}={value}" for key, value in row.items())
        name = "".join(c if c.isalnum() or c in "_-.=" else "-" for c in f"{number:03d}_{values}")
        trials.append(Trial(name[:100], row))
    return tuple(trials)


def read_sweep(file: Path) -> Sweep:
    """Runs a sweep file.

    Raises:
        InputError: no such file, not Python, no `get_sweep` in it, or trials that cannot be told apart.
    """
    if not file.is_file():
        raise InputError(f"--sweep {file}: no such file; sweeps are in configs/sweeps/")
    try:
        sweep = runpy.run_path(str(file))["get_sweep"]()
    except KeyError:
        raise InputError(f"{file}: has no get_sweep(); a sweep returns a Sweep") from None
    except SyntaxError as error:
        raise InputError(f"{file}: line {error.lineno} is no Python ({error.msg})") from None
    if not isinstance(sweep, Sweep):
        rows: list[Any] = list(sweep) if isinstance(sweep, Iterable) else [None]
        if not all(isinstance(row, Mapping) for row in rows):
            raise InputError(
                f"{file}: get_sweep() gave a {type(sweep).__name__}; expected a Sweep, or rows {{key: value}}"
            )
        sweep = Sweep((), _named(rows))
    _check(file, sweep)
    return sweep


def _check(file: Path, sweep: Sweep) -> None:
    names = [trial.name for trial in sweep.trials]
    if not names:
        raise InputError(f"{file}: has no trials")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{file}: two trials are called {name!r}; give every one its own name")
        if not name or name.startswith(".") or not all(c.isalnum() or c in "_-.=" for c in name):
            raise InputError(
                f"{file}: trial {name!r}: expected a name of letters, digits, '_', '-', '.' and '='"
            )
    if unknown := sorted(set(sweep.references.values()) - set(names)):
        raise InputError(f"{file}: reference {unknown[0]!r}: expected one of {', '.join(names)}")
