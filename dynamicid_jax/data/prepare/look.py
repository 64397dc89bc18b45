"""One photograph, looked at: every face in it with all that a record will need, and nothing chosen yet.

Which face belongs to the person shows only when all photographs of all people have been looked at (choose.py), so a
look keeps every candidate, ready cut and encoded. This is the expensive part: it runs in several processes and is
done once.

    stored picture   a square of `crop_factor` times the face box's longer side (repeating the photo's edge pixels where
                     it reaches beyond), or the whole photo; scaled down to `max_side`, never up
    box, raster      in the stored picture's own frame
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from dynamicid_jax.data.prepare.scan import Photo
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.record import pack_raster
from dynamicid_jax.errors import FaceError, InputError
from dynamicid_jax.faces.expression import ExpressionJudge
from dynamicid_jax.faces.landmarks import RASTER_SIZE, raster
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.quality import Verdict
from dynamicid_jax.faces.record import Detection, FaceRecord
from dynamicid_jax.faces.reference import crop_repeating_edges, square_around, verdict_on
from dynamicid_jax.images import load_rgb, reference_hash

MAX_FACES = (
    8  # candidates of one photograph, the largest first: enough for a group, bounded for a crowd
)
SMALL = 256  # pixels: up to here "auto" is PNG, since JPEG's 8 x 8 blocks are coarse on small faces
THUMBNAIL = 112


@dataclass(frozen=True, eq=False)
class Picture:
    """An encoded picture and its size."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Face:
    """One candidate.

    Attributes:
        embedding: L2-normalised identity.
        box: x0, y0, x1, y1 as fractions of the stored picture.
        raster: packed landmark picture of the stored picture.
        angles: yaw, pitch, roll in degrees.
        pose_source: how they were found.
        area: of the box in pixels of the photo.
        beyond: share of the stored picture that lies beyond the photo's edges.
        expression: what the judge said; "" without a judge.
        certainty: the judge's probability of it.
        quality: the verdict as JSON text, should this face be taken.
        picture: the square around it; None where the photo is kept whole.
    """

    embedding: Float[np.ndarray, "e"]
    box: Float[np.ndarray, "4"]
    raster: UInt8[np.ndarray, "1152"]
    angles: tuple[float, float, float]
    pose_source: str
    area: float
    beyond: float
    expression: str
    certainty: float
    quality: str
    picture: Picture | None


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen in one photograph.

    Attributes:
        sha256: of the file; "" where it could not be read.
        problem: why nothing of it can be used, as (reason, text); None where something can.
        faces: candidates from left to right.
        picture: the whole photo, where photos are kept whole, else a thumbnail of one without faces.
    """

    sha256: str
    problem: tuple[str, str] | None = None
    faces: tuple[Face, ...] = ()
    picture: Picture | None = None


class Looker:
    """Networks and settings; call it with a photo."""

    def __init__(self, settings: Settings, whole: bool, landmark_set: int) -> None:
        """Loads the networks, with one thread each: the processes share the CPUs among them."""
        self._settings, self._whole, self._points = settings, whole, landmark_set
        pack, judge = settings.face_pack, settings.expression_judge
        self._pack = None if pack is None else FacePack.load(pack, threads=1)
        self._judge = None if judge is None else ExpressionJudge(judge)

    def __call__(self, photo: Photo) -> Look:
        """Looks at one photograph; an unreadable one becomes a problem, not an error."""
        try:
            sha256 = reference_hash(photo.path)
            pixels = load_rgb(photo.path)
            drawn = read_raster(Path(photo.raster)) if photo.raster else None
        except InputError as error:
            text = str(error).removeprefix(f"{photo.path}: ")
            return Look("", ("unreadable", text))
        if self._pack is None:
            return Look(sha256, picture=self._encode(pixels))
        faces, problem = self._faces(photo, pixels, drawn)
        if self._whole:
            return Look(sha256, problem, faces, self._encode(pixels))
        return Look(sha256, problem, faces, None if faces else thumbnail(pixels))

    def _faces(
        self,
        photo: Photo,
        pixels: UInt8[np.ndarray, "h w 3"],
        drawn: UInt8[np.ndarray, "1152"] | None,
    ) -> tuple[tuple[Face, ...], tuple[str, str] | None]:
        """All usable candidates, or why there are none."""
        assert self._pack is not None
        found = self._pack.detect(pixels)
        if not found:
            return (), ("no face", "no face found; it must be upright, unhidden and not too small")
        faces, problem = [], None
        for place in sorted(_largest(found)):
            try:
                record = self._pack.record(pixels, found[place], self._settings.id_channels)
            except FaceError as error:
                problem = ("no face", str(error))
                continue
            verdict = verdict_on(
                pixels,
                record,
                taken=place,
                faces=len(found),
                how="the one that agrees with the person" if photo.person else "the largest",
                name=photo.source,
            )
            faces.append(self._face(pixels, record, verdict, drawn))
        return tuple(faces), None if faces else problem

    def _face(
        self,
        pixels: UInt8[np.ndarray, "h w 3"],
        record: FaceRecord,
        verdict: Verdict,
        drawn: UInt8[np.ndarray, "1152"] | None,
    ) -> Face:
        height, width = pixels.shape[:2]
        frame = (0, 0, width, height) if self._whole else self._square(record.box, width, height)
        x0, y0, x1, y1 = frame
        origin, size = np.array([x0, y0], np.float32), np.array([x1 - x0, y1 - y0], np.float32)
        if drawn is None:
            points = record.landmarks(self._points or None) - origin[None]
            drawn = pack_raster(raster(points, height=y1 - y0, width=x1 - x0))
        box = (record.box - np.tile(origin, 2)) / np.tile(size, 2)
        seen = max(0, min(x1, width) - max(x0, 0)) * max(0, min(y1, height) - max(y0, 0))
        expression, certainty = self._judge(pixels, record.box) if self._judge else ("", 0.0)
        pose = record.pose
        return Face(
            embedding=record.embedding,
            box=box.clip(0, 1).astype(np.float32),
            raster=drawn,
            angles=(pose.yaw, pose.pitch, pose.roll),
            pose_source=pose.source,
            area=record.detection.width * record.detection.height,
            beyond=1 - seen / float(size.prod()),
            expression=expression,
            certainty=certainty,
            quality=json.dumps(verdict.to_json(), ensure_ascii=False),
            picture=None if self._whole else self._encode(crop_repeating_edges(pixels, frame)),
        )

    def _square(
        self, box: Float[np.ndarray, "4"], width: int, height: int
    ) -> tuple[int, int, int, int]:
        square = square_around(box, self._settings.crop_factor)
        return inside(square, box, width, height) if self._settings.inside else square

    def _encode(self, pixels: UInt8[np.ndarray, "h w 3"]) -> Picture:
        image, limit = Image.fromarray(pixels), self._settings.max_side
        if max(image.size) > limit:
            scale = limit / max(image.size)
            width, height = (max(1, round(side * scale)) for side in image.size)
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        kind = self._settings.picture_format
        if kind == "auto":
            kind = "png" if max(image.size) <= SMALL else "jpeg"
        stream = io.BytesIO()
        if kind == "png":
            image.save(stream, "PNG", optimize=max(image.size) <= SMALL)
        else:  # full colour resolution: halved, it smears lips and eyes
            image.save(stream, "JPEG", quality=self._settings.quality, subsampling=0)
        return Picture(stream.getvalue(), *image.size)


def inside(
    square: tuple[int, int, int, int], box: Float[np.ndarray, "4"], width: int, height: int
) -> tuple[int, int, int, int]:
    """The square moved into the photo, and shrunk to fit, but never below the face box's longer side."""
    longer = int(np.ceil((box[2:] - box[:2]).max()))
    side = max(min(square[2] - square[0], width, height), longer)
    corner = []
    for low, high, limit in ((square[0], square[2], width), (square[1], square[3], height)):
        start = round((low + high - side) / 2)
        corner.append(min(max(start, 0), limit - side) if side <= limit else start)
    return corner[0], corner[1], corner[0] + side, corner[1] + side


def read_raster(path: Path) -> UInt8[np.ndarray, "1152"]:
    """A landmark picture of the published layout, as packed bits.

    Raises:
        InputError: not readable, or not 96 x 96.
    """
    grey = load_rgb(path).max(axis=2)
    if grey.shape != (RASTER_SIZE, RASTER_SIZE):
        size = f"{grey.shape[1]} x {grey.shape[0]}"
        raise InputError(f"{path.name}: landmark picture of {size} pixels; expected 96 x 96")
    return np.packbits(grey.reshape(-1) > 127)


def thumbnail(pixels: UInt8[np.ndarray, "h w 3"]) -> Picture:
    """A small JPEG of a whole photo, for the report."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return Picture(stream.getvalue(), *image.size)


def _largest(found: list[Detection]) -> list[int]:
    """Places of the largest faces."""
    order = sorted(range(len(found)), key=lambda place: -found[place].width * found[place].height)
    return order[:MAX_FACES]
