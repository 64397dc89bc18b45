"""A sweep as values: trials, each a set of changes to the same recipes.

A sweep file (configs/sweeps/) has `get_sweep()`, which gives a `Sweep`, or yields changes {dotted key: value} for
recipes to be named by --recipes (files.py reads and checks it). `grid` and `random` make trials of ranges of values;
anything cleverer (search that learns from what it saw) is for Ray Tune, whose trials can call the same commands.
"""

import fnmatch
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dynamicid_jax.errors import InputError
from dynamicid_jax.types import Number

Changes = Mapping[str, Any]  # {dotted key of config.TrainConfig: value}
LONGEST_NAME = 100  # characters of a trial's name, which is its folder's


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
        published: differences from the reference that others published, by trial and measure; their signs are what is
            expected of ours.
    """

    recipes: tuple[str, ...]
    trials: tuple[Trial, ...]
    changes: Changes = field(default_factory=dict)
    evaluate: Changes = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

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


def grid(axes: Any) -> tuple[Trial, ...]:
    """Every combination of the values of some keys; the last key changes fastest.

    Args:
        axes: {dotted key: list (or array) of values}.

    Raises:
        InputError: axes that are no lists of values.
    """
    lists = {key: _values("grid", key, axis) for key, axis in _axes("grid", axes).items()}
    return named(dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values()))


@dataclass(frozen=True)
class Between:
    """A range of numbers to draw from.

    Attributes:
        low: lower end.
        high: upper end.
        log: draws evenly on a logarithmic scale (both ends positive).
        whole: rounds to whole numbers.

    Raises:
        InputError: ends that are no range.
    """

    low: Number
    high: Number
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
            raise InputError(f"Between({self.low!r}, {self.high!r}): expected two finite numbers")
        if not self.low <= self.high:
            raise InputError(f"Between({self.low}, {self.high}): expected the lower end first")
        if self.log and self.low <= 0:
            raise InputError(
                f"Between({self.low}, {self.high}, log=True): expected both ends above 0"
            )

    def draw(self, dice: np.random.Generator) -> Number:
        """One value, four digits of it."""
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = float(dice.uniform(*ends))
        value = float(f"{math.exp(value) if self.log else value:.4g}")
        return round(value) if self.whole else value


def random(axes: Any, count: Any, seed: Any = 0) -> tuple[Trial, ...]:
    """Draws of values of some keys; more of them only add to those of a smaller `count`.

    A draw that came before is left out, so there may be fewer than `count`.

    Args:
        axes: {dotted key: Between, or list (or array) of values}.
        count: how many draws.
        seed: of the draws, at least 0.

    Raises:
        InputError: axes that are neither ranges nor lists of values, or numbers that are not whole.
    """
    if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in (count, seed)):
        raise InputError(
            f"random: count {count!r}, seed {seed!r}: expected whole numbers of at least 0"
        )
    choices: dict[str, Between | list[Any]] = {
        key: axis if isinstance(axis, Between) else _values("random", key, axis)
        for key, axis in _axes("random", axes).items()
    }
    dice = np.random.default_rng(seed)
    rows: dict[str, Changes] = {}
    for _ in range(count):
        row = {
            key: axis.draw(dice)
            if isinstance(axis, Between)
            else axis[int(dice.integers(len(axis)))]
            for key, axis in choices.items()
        }
        rows.setdefault(repr(row), row)
    return named(rows.values())


def named(rows: Iterable[Changes]) -> tuple[Trial, ...]:
    """Trials named by number and by their values."""
    trials = []
    for number, row in enumerate(rows):
        values = "_".join(f"{key.rpartition('.')[2]}={value}" for key, value in row.items())
        name = "".join(c if c.isalnum() or c in "_-.=" else "-" for c in f"{number:03d}_{values}")
        trials.append(Trial(name[:LONGEST_NAME], row))
    return tuple(trials)


def _axes(what: str, axes: Any) -> Mapping[str, Any]:
    if not isinstance(axes, Mapping) or not axes or not all(isinstance(key, str) for key in axes):
        raise InputError(f"{what}: expected {{'optimizer.learning_rate': [1e-4, 3e-4], ...}}")
    return axes


def _values(what: str, key: str, axis: Any) -> list[Any]:
    values = axis.tolist() if isinstance(axis, np.ndarray) else axis
    if not isinstance(values, list | tuple | range) or not values:
        raise InputError(f"{what}: {key}: expected a list of values, got {axis!r:.60}")
    return list(values)
