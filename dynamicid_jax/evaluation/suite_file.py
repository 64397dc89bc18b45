"""The parts of a suite's file, read strictly: unknown keys, values of another kind and odd names are errors."""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.evaluation.casts import Scene
from dynamicid_jax.evaluation.claims import LEVELS, Bound, Requirement
from dynamicid_jax.models.configs import from_dict

T = TypeVar("T")
NAME = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
)  # of kinds, which become folders, and of claims
LEVEL_WORDS = "floor on two cores, floor with a GPU, goal"


@dataclass(frozen=True)
class Row:
    """A line of [rows]."""

    title: str
    least: tuple[float | None, ...] = ()
    most: tuple[float | None, ...] = ()
    clear: tuple[bool, ...] = ()
    of_ceiling: bool = False
    better: Literal["higher", "lower", ""] = ""
    chance: float | None = None

    def requirement(self, where: str) -> Requirement:
        """What is asked of the number.

        Raises:
            InputError: bounds of some levels only.
        """
        for name, some, word in (
            ("least", self.least, "numbers"),
            ("most", self.most, "numbers"),
            ("clear", self.clear, "of true and false"),
        ):
            if len(some) not in (0, len(LEVELS)):
                hint = "; nan asks for nothing" if word == "numbers" else ""
                raise InputError(
                    f"{where}: {name}: expected {len(LEVELS)} {word} ({LEVEL_WORDS}{hint}), got {len(some)}"
                )
        nothing = (None,) * len(LEVELS)
        least, most = self.least or nothing, self.most or nothing
        clear = self.clear or (False,) * len(LEVELS)
        asked = tuple(
            None if low is None and high is None else Bound(low, high, sure)
            for low, high, sure in zip(least, most, clear, strict=True)
        )
        return Requirement(self.title, asked, self.of_ceiling, self.better, self.chance)


@dataclass(frozen=True)
class MadeUpSection:
    """[made_up]."""

    people: int
    prompts: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class PhotosSection:
    """[photos]."""

    people: int
    prompts: tuple[str, ...]


def read_toml(path: Path) -> dict[str, Any]:
    """A file's values.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"), parse_float=_number)
    except OSError as error:
        raise InputError(f"suite {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"suite {path}: not TOML ({error})") from None


def _number(text: str) -> float | None:
    """TOML has no null: "nan" stands for it, and reaches nobody else."""
    value = float(text)
    return None if math.isnan(value) else value


def build(cls: type[T], values: Any, where: str) -> T:
    """A dataclass from a table.

    Raises:
        InputError: no table, a key too many or too few, or a value of another kind.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a table, got {values!r:.80}")
    known(values, [one.name for one in fields(cls)], where)  # type: ignore[arg-type]
    needed = [one.name for one in fields(cls) if one.default is one.default_factory is MISSING]  # type: ignore[arg-type]
    if missing := [name for name in needed if name not in values]:
        raise InputError(f"{where}: expected the key {missing[0]!r}, too")
    try:
        return from_dict(cls, values, where)
    except WeightsError as error:
        raise InputError(str(error)) from None


def optional(cls: type[T], values: Mapping[str, Any], key: str, where: str) -> T | None:
    """A table that may be missing."""
    return build(cls, values[key], f"{where}: {key}") if key in values else None


def table(cls: type[T], values: Mapping[str, Any], key: str, where: str) -> dict[str, T]:
    """All tables [key.NAME]."""
    some = values.get(key, {})
    if not isinstance(some, dict):
        raise InputError(f"{where}: {key}: expected tables [{key}.NAME]")
    for name in some:
        check_name(name, f"{where}: {key}")
    return {name: build(cls, one, f"{where}: {key}.{name}") for name, one in some.items()}


def check_name(name: str, where: str) -> None:
    """A name that may be a file's, too.

    Raises:
        InputError: it holds something else than letters, digits, _ and -, or is long.
    """
    if NAME.fullmatch(name) is None:
        raise InputError(
            f"{where}: name {name!r:.80}: expected at most 64 letters, digits, _ and -, the first one no sign"
        )


def among(names: Iterable[str], expected: Iterable[str], where: str) -> None:
    """Refuses names that are none of those expected."""
    allowed = list(expected)
    if strange := [name for name in names if name not in allowed]:
        raise InputError(
            f"{where}: unknown {strange[0]!r:.80}; expected some of {', '.join(allowed)}"
        )


def known(values: Iterable[str], keys: Iterable[str], where: str) -> None:
    """Refuses keys that nothing reads."""
    allowed = list(keys)
    if strange := [key for key in values if key not in allowed]:
        raise InputError(f"{where}: unknown key {strange[0]!r:.80}; expected {', '.join(allowed)}")
