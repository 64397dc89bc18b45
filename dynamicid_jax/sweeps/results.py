"""What an evaluation measured, once it is sure to be what `dynamicid evaluate` writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.evaluation.report import RESULTS
from dynamicid_jax.evaluation.written import Written

NUMBERS = ("value", "low", "high")


def read_claims(folder: Path) -> dict[str, Written]:
    """Measures by name; none where the folder holds no results (yet).

    Raises:
        InputError: its results were written by something else, or changed.
    """
    file = folder / RESULTS
    if not file.is_file():
        return {}
    try:
        claims = read_json(file).get("claims")
    except WeightsError:
        claims = None
    if not isinstance(claims, dict) or not all(map(_is_measure, claims.values())):
        raise InputError(f"{file}: not written by `dynamicid evaluate`; evaluate again")
    return claims


def _is_measure(one: Any) -> bool:
    return isinstance(one, Mapping) and all(
        one.get(name) is None or isinstance(one[name], int | float) for name in NUMBERS
    )
