"""What an evaluation wrote, read again by whoever tabulates several of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.evaluation.report import RESULTS, number

Written = Mapping[str, Any]  # a measure as results.json has it: title, value, low, high, count, ...


def read_results(folder: Path) -> dict[str, Any]:
    """results.json of a folder: {"about": ..., "claims": {name: measure}}; without both where there is none (yet)."""
    try:
        return json.loads((folder / RESULTS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def with_interval(measure: Written | None) -> str:
    """The value and its interval; empty where there is none."""
    if measure is None or measure.get("value") is None:
        return ""
    ends = ""
    if measure.get("low") is not None:
        ends = f" ({number(measure['low'])} to {number(measure['high'])})"
    return number(measure["value"]) + ends
