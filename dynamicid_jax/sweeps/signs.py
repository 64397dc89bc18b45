"""Published differences beside measured ones: is the sign the same, and is the interval clear of zero?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dynamicid_jax.evaluation.written import Written


@dataclass(frozen=True)
class Sign:
    """One difference of a trial to its reference.

    Attributes:
        published: the difference that others published.
        same: whether the measured one has its sign; None where it was not measured.
        clear: whether the measured one's 95 % interval holds no zero; likewise.
    """

    published: float
    same: bool | None = None
    clear: bool | None = None


def sign(published: float, measured: Written | None) -> Sign:
    """Compares one difference.

    Args:
        published: to be compared with.
        measured: as evaluation/compare.py has it; None where it was not measured.
    """
    value = None if measured is None else measured.get("value")
    if measured is None or value is None:
        return Sign(published)
    return Sign(published, same=value * published > 0, clear=bool(measured.get("real")))


HEAD = ("trial", "less", "measure", "published", "measured", "sign as published", "clear of 0")


def sign_cells(one: Sign) -> tuple[str, str, str]:
    """The published difference and both answers; empty where nothing was measured."""
    return f"{one.published:+.3f}", _answer(one.same), _answer(one.clear)


def summary(signs: Mapping[str, Mapping[str, Sign]]) -> Iterator[str]:
    """One line, of all trials."""
    known = [one for some in signs.values() for one in some.values()]
    measured = [one for one in known if one.same is not None]
    same = [one for one in measured if one.same]
    firm = sum(bool(one.clear) for one in same)
    against = sum(bool(one.clear) for one in measured if not one.same)
    yield (
        f"{len(same)} of {len(measured)} measured differences have the published sign, {firm} of them with an interval "
        f"clear of 0; {against} have the other sign, with such an interval; {len(known) - len(measured)} were not "
        "measured."
    )


def _answer(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
