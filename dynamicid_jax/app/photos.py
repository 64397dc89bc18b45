"""A photo as a visit holds it: the file's bytes, what the face pack says about it, and a crop of its face.

The bytes are kept as they came, so that a recipe names the same SHA-256 as the visitor's file has.
"""

import io
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from dynamicid_jax.faces.pack import FacePack, IdChannels
from dynamicid_jax.faces.quality import Verdict
from dynamicid_jax.faces.reference import (
    CROP_FACTOR,
    crop_repeating_edges,
    examine,
    square_around,
)
from dynamicid_jax.images import rgb_from_bytes

CROP = 160  # pixels of a face crop's side


def new_id() -> str:
    """A name that nobody guesses; it is a key of a table and never part of a path."""
    return secrets.token_urlsafe(12)


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo.

    Attributes:
        name: of the file it came in, to be shown.
        data: the file's bytes.
        verdict: the face pack's, without a hard finding.
        crop: the face as a PNG.
        made_up: whether it came with the package and shows somebody who does not exist.
        id: its key.
    """

    name: str
    data: bytes
    verdict: Verdict
    crop: bytes
    made_up: bool = False
    id: str = field(default_factory=new_id)

    def to_json(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "id": self.id,
            "name": self.name,
            "made_up": self.made_up,
            "faces": self.verdict.faces,
            "findings": findings_json(self.verdict),
        }


def findings_json(verdict: Verdict) -> list[dict[str, Any]]:
    """What speaks against a photo: reason, sentence, measured value and limit."""
    return [vars(finding) for finding in verdict.findings]


def look_at(
    data: bytes,
    name: str,
    pack: FacePack,
    *,
    id_channels: IdChannels,
    max_pixels: int,
    made_up: bool = False,
) -> Photo | Verdict:
    """The photo, or the verdict that says why it cannot be used.

    Args:
        data: of a picture file.
        name: to be shown.
        pack: finds the face.
        id_channels: the model's (faces/reference.py).
        max_pixels: refused above, from the header alone.
        made_up: see `Photo`.

    Raises:
        InputError: not a picture, damaged, too large or too small.
    """
    pixels = rgb_from_bytes(data, name, max_pixels)
    verdict = examine(pixels, pack, id_channels=id_channels, name=name)
    if verdict.record is None:
        return verdict
    crop = crop_repeating_edges(pixels, square_around(verdict.record.box, CROP_FACTOR))
    return Photo(name, data, verdict, _small_png(crop), made_up, name if made_up else new_id())


def _small_png(crop: np.ndarray) -> bytes:
    return png(Image.fromarray(crop).resize((CROP, CROP), Image.Resampling.LANCZOS))


def png(image: Image.Image) -> bytes:
    """A picture as a PNG file's bytes."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
