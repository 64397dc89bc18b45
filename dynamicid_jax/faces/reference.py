"""From a photograph to what the networks are conditioned on: one face, its embedding, its crop.

`make_reference` is the one place that applies a model's two conventions (METHOD section 2), in data
preparation as in sampling:

    id_channels     "bgr": the recogniser gets the order it expects; "rgb": swapped, as published
    reference_crop  "none": the image encoder sees the whole photo; "face x 2": a square of twice
                    the face box's longer side, centred on it; where it leaves the photo, the
                    photo's edge pixels are repeated
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import FaceError, InputError
from dynamicid_jax.faces.align import aligned_face
from dynamicid_jax.faces.pack import FacePack, IdChannels
from dynamicid_jax.faces.quality import Finding, Verdict, sharpness, soft_findings
from dynamicid_jax.faces.record import Detection, FaceRecord
from dynamicid_jax.images import as_rgb, shown

ReferenceCrop = Literal["none", "face x 2"]
CROP_FACTOR = 2.0
Which = int | Sequence[float | int] | None
"""The face asked for: its place from the left (from 0), a point on it or a box around it (in
fractions of width and height, as everywhere), or None for the largest."""


@dataclass(frozen=True, eq=False)
class Reference:
    """One face of one photograph, ready for the networks.

    Attributes:
        record: box, points, landmarks (in pixels of the photo), embedding, pose.
        crop: what the image encoder sees, RGB; pixels as in the photo, not scaled.
        origin: x and y of the crop's upper left corner in the photo.
        verdict: the quality verdict; it may hold warnings, never a hard finding.
    """

    record: FaceRecord
    crop: UInt8[np.ndarray, "h w 3"] = field(repr=False)
    origin: tuple[int, int]
    verdict: Verdict

    @property
    def embedding(self) -> Float[np.ndarray, "e"]:
        """L2-normalised identity [e]."""
        return self.record.embedding

    def landmarks(self, count: int | None = None) -> Float[np.ndarray, "k 2"]:
        """Landmarks in pixels of the crop; see `FaceRecord.landmarks`."""
        return self.record.landmarks(count) - np.array([self.origin], np.float32)


def make_reference(
    photo: Any,
    pack: FacePack,
    *,
    id_channels: IdChannels,
    reference_crop: ReferenceCrop,
    which: Which = None,
    name: str | None = None,
) -> Reference:
    """Finds the face in a photo and prepares it by the model's conventions.

    Args:
        photo: a path, a PIL image or a uint8 array [h w 3].
        pack: the networks.
        id_channels: see above.
        reference_crop: see above.
        which: the face asked for; None takes the largest.
        name: what messages call the photo; its path by default.

    Raises:
        InputError: the photo cannot be read.
        FaceError: it holds no face, or not the one asked for.
    """
    name = name or (
        shown(photo) if hasattr(photo, "__fspath__") or isinstance(photo, str) else "photo"
    )
    pixels = as_rgb(photo, name)
    verdict = examine(pixels, pack, id_channels=id_channels, which=which, name=name)
    if verdict.record is None:
        raise FaceError(verdict.lines()[0])
    height, width = pixels.shape[:2]
    left, upper, right, lower = 0, 0, width, height
    if reference_crop == "face x 2":
        left, upper, right, lower = square_around(verdict.record.box, CROP_FACTOR)
    return Reference(
        record=verdict.record,
        crop=crop_repeating_edges(pixels, (left, upper, right, lower)),
        origin=(left, upper),
        verdict=verdict,
    )


def examine(
    photo: UInt8[np.ndarray, "h w 3"],
    pack: FacePack,
    *,
    id_channels: IdChannels = "bgr",
    which: Which = None,
    name: str = "photo",
) -> Verdict:
    """The verdict on a photo, with the record of the face taken; hard findings, not errors."""
    height, width = photo.shape[:2]
    detections = pack.detect(photo)
    size, count = (width, height), len(detections)
    if not detections:
        text = "no face found; use a photo that shows the face upright, unhidden and not too small"
        return Verdict(name, size, findings=(Finding("no face", text, hard=True),))
    try:
        taken = choose(detections, which, width=width, height=height)
    except FaceError as error:
        return Verdict(
            name, size, count, findings=(Finding("no such face", str(error), hard=True),)
        )
    try:
        record = pack.record(photo, detections[taken], id_channels)
    except FaceError as error:
        return Verdict(name, size, count, findings=(Finding("no face", str(error), hard=True),))
    how = "the largest" if which is None else "the one asked for"
    return verdict_on(photo, record, taken=taken, faces=count, how=how, name=name)


def verdict_on(
    photo: UInt8[np.ndarray, "h w 3"],
    record: FaceRecord,
    *,
    taken: int,
    faces: int,
    how: str,
    name: str,
) -> Verdict:
    """The verdict on one face that was taken, `how`, out of all `faces` of a photo."""
    sharp = sharpness(aligned_face(photo, record.points))
    findings = soft_findings(record, sharp)
    if faces > 1:
        text = f"{faces} faces; took {how}, number {taken} from the left (counted from 0)"
        findings.insert(0, Finding("several faces", text, value=float(faces), limit=1.0))
    size = (photo.shape[1], photo.shape[0])
    return Verdict(name, size, faces, taken, record, sharp, tuple(findings))


def choose(detections: Sequence[Detection], which: Which, *, width: int, height: int) -> int:
    """The index of the face asked for, among faces sorted from left to right.

    Raises:
        InputError: `which` is neither a number, a point nor a box.
        FaceError: no face has that number, holds that point or meets that box.
    """
    scale = np.array([[width, height, width, height]], np.float64)
    boxes = np.stack([one.box for one in detections]) / scale
    if which is None:
        return int(_areas(boxes).argmax())
    if isinstance(which, int):
        if not 0 <= which < len(boxes):
            raise FaceError(f"face {which} was asked for; {len(boxes)} found, counted from 0")
        return which
    if len(which) not in (2, 4) or not np.isfinite(which).all():
        raise InputError(f"which: expected a number, a point (x, y) or a box, got {which!r}")
    asked = np.array([[*which[:2], *which[-2:]]])  # a point is a box without size
    middles, aim = ((some[:, :2] + some[:, 2:]) / 2 for some in (boxes, asked))
    distance = np.hypot(*(middles - aim).T)
    low, high = np.maximum(boxes, asked)[:, :2], np.minimum(boxes, asked)[:, 2:]
    meets = (low <= high).all(axis=1)
    if not meets.any():
        raise FaceError(f"no face at {which}; {len(boxes)} found elsewhere")
    shared = _areas(np.concatenate([low, high], axis=1)) * meets
    overlap = shared / (_areas(boxes) + _areas(asked) - shared)
    best = meets & (overlap >= overlap[meets].max())
    return int(np.where(best, distance, np.inf).argmin())  # a point overlaps nothing: the nearest


def _areas(boxes: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, "k"]:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def square_around(box: Float[np.ndarray, "4"], factor: float) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the square, `factor` times the box's longer side wide, centred on it."""
    centre = (box[:2].astype(np.float64) + box[2:]) / 2
    side = max(1, round(factor * float((box[2:] - box[:2]).max())))
    x0, y0 = (round(float(middle) - side / 2) for middle in centre)
    return x0, y0, x0 + side, y0 + side


def crop_repeating_edges(
    photo: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "crop_h crop_w 3"]:
    """A box in whole pixels cut out of a photo; beyond its edges the edge pixels are repeated."""
    x0, y0, x1, y1 = box
    rows = np.arange(y0, y1).clip(0, photo.shape[0] - 1)
    columns = np.arange(x0, x1).clip(0, photo.shape[1] - 1)
    return photo[np.ix_(rows, columns)]


def average_embeddings(embeddings: Sequence[Float[np.ndarray, "e"]]) -> Float[np.ndarray, "e"]:
    """One identity from several photos of one person: the mean, L2-normalised again.

    Raises:
        InputError: none given, or they cancel out.
    """
    mean = np.mean(embeddings, axis=0) if len(embeddings) else np.zeros(1)
    norm = float(np.linalg.norm(mean))
    if norm < 1e-6:
        raise InputError(f"embeddings: {len(embeddings)} given, without a common direction")
    return (mean / norm).astype(np.float32)
