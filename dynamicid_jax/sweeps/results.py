"""What an evaluation measured, once it is sure to be what `dynamicid evaluate` writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.report import RESULTS
from dynamicid_jax.evaluation.written import Written, read_results

NUMBERS = ("value", "low", "high")


def read_claims(folder: Path) -> dict[str, Written]:
    """Measures by name; none where the folder holds no results (yet).

    Raises:
        InputError: its results were written by something else, or changed.
    """
    found: Any = read_results(folder)
    claims = found.get("claims", {}) if isinstance(found, Mapping) else None
    if not isinstance(claims, dict) or not all(map(_is_measure, claims.values())):
        raise InputError(f"{folder / RESULTS}: not written by `dynamicid evaluate`; evaluate again")
    return claims


def _is_measure(one: Any) -> bool:
    return isinstance(one, Mapping) and all(
        one.get(name) is None or isinstance(one[name], int | float) for name in NUMBERS
    )
