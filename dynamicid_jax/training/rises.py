"""How much the held-out loss listens to each attribute of a caption, and to each look of a face, as curves.

Captions with one attribute wrong come from data/wrong_captions.py, faces with one look wrong from data/wrong_faces.py.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from dynamicid_jax.training.curves import Curve
from dynamicid_jax.types import Number
from dynamicid_jax.world.captions import ATTRIBUTES
from dynamicid_jax.world.twins import LOOKS

TITLE = "rise with one wrong attribute, where it is sure"
LOOKS_TITLE = "rise with a photo wrong in one look, where it is sure"


def rise_curves(
    lines: Sequence[Mapping[str, Number]], kind: str = "", wrong: Iterable[str] = ATTRIBUTES
) -> list[Curve]:
    """A line per attribute: the rise over the updates, where its 95 % interval lies above 0.

    What is not sure is left out, so that rises that lie decades apart fit one logarithmic scale.

    Args:
        lines: of metrics.jsonl.
        kind: "" for the whole loss, "face_" for the loss inside face boxes.
        wrong: ATTRIBUTES of the caption, or LOOKS of the photo.

    Returns:
        no curves where nothing was measured twice, or nothing is sure.
    """
    names = {attribute: f"heldout/{kind}rise_{attribute}" for attribute in wrong}
    told = [line for line in lines if all(name in line for name in names.values())]
    curves = [
        Curve(
            attribute.replace("_", " "),
            [line["step"] for line in told],
            [_sure(line, name) for line in told],
        )
        for attribute, name in names.items()
    ]
    some = any(math.isfinite(y) for curve in curves for y in curve.y)
    return curves if some and len(told) > 1 else []


def _sure(line: Mapping[str, Number], name: str) -> Number:
    return line[name] if line[f"{name}_low"] > 0 else math.nan


def look_curves(lines: Sequence[Mapping[str, Number]]) -> list[Curve]:
    """A line per look of the photo, inside face boxes: what the face tokens have learned to tell."""
    return rise_curves(lines, "face_", LOOKS)
