"""What is asked of measured numbers: bounds, and one line of a table each."""

from dataclasses import dataclass

from dynamicid_jax.evaluation.estimates import Estimate

LEVELS = ("cpu", "gpu", "goal")
"""What has to hold on two cores, with a GPU, and as the goal."""


@dataclass(frozen=True)
class Bound:
    """At least or at most; an interval that is `clear` must lie on the right side as a whole."""

    least: float | None = None
    most: float | None = None
    clear: bool = False

    def holds(self, found: Estimate) -> bool:
        """Whether an estimate keeps to it."""
        low, high = (found.low, found.high) if self.clear else (found.value, found.value)
        above = self.least is None or low >= self.least
        return above and (self.most is None or high <= self.most)

    def words(self) -> str:
        """For tables."""
        signs = ((">=", self.least), ("<=", self.most))
        words = " and ".join(f"{sign} {value:g}" for sign, value in signs if value is not None)
        return words + (", interval clear" if self.clear else "")


@dataclass(frozen=True)
class Requirement:
    """One line of the table.

    Attributes:
        title: what is measured.
        bounds: by LEVELS; None asks for nothing.
        of_ceiling: bounds hold for the share of what the judges reach on the drawn truth.
        better: "higher" or "lower", for comparisons; "" where neither is.
        chance: what guessing gives; None where that says nothing.
    """

    title: str
    bounds: tuple[Bound | None, ...] = (None, None, None)
    of_ceiling: bool = False
    better: str = ""
    chance: float | None = None


@dataclass(frozen=True)
class Claim:
    """What is drawn and measured together.

    Attributes:
        pictures: kinds of the suite.
        measures: of measures.MEASURES (their kinds are fixed), or of common.METRICS (taken of each of `pictures`).
        over: the measures are taken as differences to this kind's, person by person.
    """

    pictures: tuple[str, ...]
    measures: tuple[str, ...]
    over: str = ""
