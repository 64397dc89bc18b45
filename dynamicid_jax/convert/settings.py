"""JSON config files of other libraries, read strictly."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.models.configs import from_dict

T = TypeVar("T")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        WeightsError: the file is missing or not a JSON object.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise WeightsError(f"{path}: not JSON; fetch it again") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


class Settings:
    """One config file; it remembers which keys were read, and `finish` looks at the others."""

    def __init__(self, path: Path, values: dict[str, Any] | None = None) -> None:
        self.path = path
        self.values = read_json(path) if values is None else values
        self._read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the library's default."""
        self._read.add(key)
        return self.values.get(key, default)

    def refuse(self, key: str, expected: str) -> WeightsError:
        """The error for a setting that we do not build."""
        value = repr(self.values.get(key))[:80]
        return WeightsError(f"{self.path}: {key} = {value} is not supported; expected {expected}")

    def size(self, key: str, default: int) -> int:
        """A positive integer.

        Raises:
            WeightsError: anything else.
        """
        return self.sizes(key, default, 1)[0]

    def choice(self, key: str, default: Any, allowed: Iterable[Any]) -> Any:
        """One of the values that we build.

        Raises:
            WeightsError: anything else.
        """
        value = self.get(key, default)
        if value not in allowed:
            raise self.refuse(key, " or ".join(map(repr, allowed)))
        return value

    def sizes(self, key: str, default: Any, count: int) -> list[int]:
        """One positive integer for all levels, or one for each.

        Raises:
            WeightsError: anything else.
        """
        value = self.get(key, default)
        result = value if isinstance(value, list) else [value] * count
        if len(result) != count or not all(type(item) is int and item > 0 for item in result):
            more = f", or {count} of them" if count > 1 else ""
            raise self.refuse(key, f"a positive integer{more}")
        return result

    def build(self, cls: type[T], **values: Any) -> T:
        """A config from values of this file.

        Raises:
            WeightsError: a value of the wrong kind.
        """
        return from_dict(cls, values, str(self.path))

    def finish(self, fixed: Mapping[str, tuple[Any, ...]], skipped: Iterable[str]) -> None:
        """Looks at every key that was not read.

        Args:
            fixed: keys that may have these values only.
            skipped: keys without influence on inference.

        Raises:
            WeightsError: a value that we do not build, or an unknown key that is set.
        """
        for key in sorted(self.values.keys() - self._read - set(skipped)):
            value = self.values[key]
            if key in fixed:
                if value not in fixed[key]:
                    raise self.refuse(key, " or ".join(map(repr, fixed[key])))
            elif not key.startswith("_") and value not in (None, False):
                raise self.refuse(key, "no such key")
