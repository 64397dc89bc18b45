"""Options of a command as values and as words."""

from collections.abc import Mapping, Sequence
from typing import Any


def options(values: Mapping[str, Any]) -> list[str]:
    """{"people": 8, "no_gate": True, "claims": None} as ["--people", "8", "--no_gate"]."""
    words: list[str] = []
    for name, value in values.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", str(value)]
    return words


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """["people=8", "no_gate"] as values for `options`; a name alone is a flag."""
    made: dict[str, Any] = {}
    for word in words:
        name, given, value = word.partition("=")
        made[name] = value if given else True
    return made
