"""Means over pictures with 95 % intervals by the bootstrap over people.

    w_bi = how often person i is drawn in resample b       people drawn with replacement, as many as there are
    mean_b = sum_i w_bi S_i / sum_i w_bi C_i               S_i, C_i: sum and number of person i's values
    interval = 2.5 % and 97.5 % quantiles over b of f(mean_b, mean'_b, ...)

All resamples are one matrix product; all means of one statistic see the same resampled people, so that differences and
ratios of the same people's pictures are paired. The seed is fixed: the same values give the same interval.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

RESAMPLES, SEED = 2000, 0

Values = Sequence[tuple[int, float]]
"""(person, value) of each picture; a value that is NaN is left out."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "mean": lambda one: one,
    "difference": lambda one, other: one - other,
    "ratio": lambda one, other: one / other,
    "distance": lambda one, other: np.abs(one - other),
}
"""What a measure is of the means of its samples; by name, so that measures can be kept in a file."""


@dataclass(frozen=True)
class Estimate:
    """A measured number.

    Attributes:
        value: of all pictures.
        low: lower end of the 95 % interval.
        high: upper end.
        count: pictures (or faces) measured.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def clear(self) -> bool:
        """Whether the interval does not hold 0."""
        return bool(self.low > 0 or self.high < 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self).copy()


@dataclass(frozen=True)
class Measured:
    """Values of pictures, and what is made of their means.

    Attributes:
        function: of FUNCTIONS.
        samples: as many as it takes.
    """

    function: str
    samples: tuple[Values, ...]

    @cached_property
    def estimate(self) -> Estimate:
        """The number and its interval."""
        return estimate(FUNCTIONS[self.function], *self.samples)

    def of(self, people: Iterable[int]) -> "Measured":
        """The same of some people only."""
        kept = set(people)
        some = tuple([pair for pair in values if pair[0] in kept] for values in self.samples)
        return Measured(self.function, some)

    @property
    def people(self) -> set[int]:
        """Whose values there are."""
        return {who for values in self.samples for who, _ in values}

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN is null."""
        samples = [
            [[who, float(value) if np.isfinite(value) else None] for who, value in values]
            for values in self.samples
        ]
        return {"function": self.function, "samples": samples}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Measured":
        """From `to_json`.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        samples = tuple(
            [(int(who), float("nan") if value is None else float(value)) for who, value in values]
            for values in kept["samples"]
        )
        if kept["function"] not in FUNCTIONS:
            raise ValueError(kept["function"])
        return cls(kept["function"], samples)


def mean(values: Values) -> Estimate:
    """The mean of values and its interval."""
    return estimate(lambda one: one, values)


def paired_difference(one: Measured, other: Measured) -> Estimate:
    """`one` less `other`, people by people: every resample draws the same people for both.

    Only people of whom both have values count.
    """
    both = one.people & other.people
    first, second = one.of(both), other.of(both)
    function, split = FUNCTIONS[one.function], len(one.samples)

    def difference(*means: Any) -> Any:
        return function(*means[:split]) - function(*means[split:])

    return estimate(difference, *first.samples, *second.samples)


def estimate(function: Callable[..., Any], *samples: Values) -> Estimate:
    """A function of the means of several samples, with its interval.

    Args:
        function: of as many arrays of means as there are samples, element by element; also of plain numbers.
        samples: values of pictures; the people in them may differ.
    """
    kept = [[(who, value) for who, value in some if np.isfinite(value)] for some in samples]
    if not all(kept):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    people = {who: row for row, who in enumerate(sorted({who for some in kept for who, _ in some}))}
    dice = np.random.default_rng(SEED)
    drawn = dice.multinomial(len(people), np.full(len(people), 1 / len(people)), RESAMPLES)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = function(*(_means(some, people, drawn) for some in kept))
        value = function(*(np.mean([value for _, value in some]) for some in kept))
    low, high = (
        np.nanquantile(resampled, [0.025, 0.975])
        if np.isfinite(resampled).any()
        else (np.nan, np.nan)
    )
    return Estimate(float(value), float(low), float(high), len(kept[0]))


def _means(some: Values, people: Mapping[int, int], drawn: np.ndarray) -> Float[np.ndarray, "b"]:
    """The mean of every resample."""
    rows = np.array([people[who] for who, _ in some])
    sums = np.bincount(rows, [value for _, value in some], len(people))
    counts = np.bincount(rows, minlength=len(people))
    return (drawn @ sums) / (drawn @ counts)
