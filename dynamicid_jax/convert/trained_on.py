"""Whom a model was trained on: `trained_on.json` in its folder, for leak checks.

{"made_up": [splits of the world], "photos": [the first 16 hex digits of each photo file's SHA-256]}
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.models.configs import from_dict
from dynamicid_jax.packaged import model_path

TRAINED_ON = "trained_on.json"
DIGITS = 16  # of a hash


@dataclass(frozen=True)
class Trained:
    """Whom a model has seen.

    Attributes:
        made_up: splits of the world.
        photos: hashes of photo files.
    """

    made_up: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"made_up": list(self.made_up), "photos": list(self.photos)}


def together(some: Iterable[Trained]) -> Trained:
    """Whom any of them has seen."""
    known = list(some)
    return Trained(
        tuple(sorted({name for one in known for name in one.made_up})),
        tuple(sorted({photo for one in known for photo in one.photos})),
    )


def read_trained(model: str | Path) -> Trained | None:
    """From a model's folder ("mini" too); None where it does not say.

    Raises:
        WeightsError: the file is damaged.
    """
    path = model_path(model) / TRAINED_ON
    if not path.is_file():
        return None
    try:
        return from_dict(Trained, read_json(path), str(path))
    except WeightsError as error:
        raise WeightsError(f"{error}; expected what training wrote, or no such file") from None
