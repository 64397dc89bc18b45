"""One record as the arrays of a batch (data/batch.py), from a picture or from precomputed features.

    pixels      the largest square in the middle of the picture, scaled to `image_size` with antialiasing
    face_box    follows the square; what lies outside is cut off
    reference   METHOD's reference crop of the picture, by the dataset's own convention, as the image encoder sees it
    raster      the landmarks in the frame of that crop, as in sampling (records keep them in the picture's)

Nothing here is random: what is drawn, and how often, is decided in data/sources.py.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8, UInt8
from PIL import Image

from dynamicid_jax.data.batch import FACE, FEATURES, BatchSpec
from dynamicid_jax.data.feature_store import FeatureSource, Row
from dynamicid_jax.data.index import Source
from dynamicid_jax.data.record import PictureRecord
from dynamicid_jax.errors import DamagedRecordError, InputError
from dynamicid_jax.faces.reference import CROP_FACTOR, crop_repeating_edges, square_around
from dynamicid_jax.images import rgb_from_bytes
from dynamicid_jax.inference.preprocess import clip_square

RGB = UInt8[np.ndarray, "h w 3"]
Square = UInt8[np.ndarray, "s s 3"]
Corners = Float[np.ndarray, "4"]
REMEMBERED = 20_000  # prompts whose ids are kept


def training_square(picture: RGB, size: int) -> Square:
    """The middle square of a picture at `size`."""
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    side = min(height, width)
    left, upper = (width - side) / 2, (height - side) / 2
    window = (left, upper, left + side, upper + side)
    scaled = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS, window)
    return np.asarray(scaled)


def box_in_square(box: Corners, width: int, height: int) -> Corners:
    """A box in fractions of a picture as fractions of its middle square."""
    side = min(height, width)
    start = np.tile(np.array([width - side, height - side], np.float32) / 2, 2)
    scale = np.tile(np.array([width, height], np.float32), 2)
    return ((box * scale - start) / side).clip(0, 1).astype(np.float32)


def reference_square(picture: RGB, box: Corners, crop: str, size: int) -> Square:
    """What the image encoder sees of a picture with a face in `box` (fractions), in bytes."""
    if crop == "face x 2":
        height, width = picture.shape[:2]
        picture = crop_repeating_edges(picture, _square_around(box, width, height))
    return clip_square(picture, size)


def reference_raster(record: PictureRecord, crop: str) -> Int8[np.ndarray, "96 96"]:
    """A record's landmark picture in the frame of its reference crop, -1 and +1."""
    stored = unpack_signs(record.raster)
    if crop != "face x 2":
        return stored
    x0, y0, x1, y1 = _square_around(record.face_box, record.width, record.height)
    cells = np.argwhere(stored > 0)[:, ::-1]
    pixels = (cells + 0.5) / len(stored) * np.array([[record.width, record.height]])
    moved = ((pixels - [[x0, y0]]) / [[x1 - x0, y1 - y0]] * len(stored)).astype(int)
    columns, rows = moved[((moved >= 0) & (moved < len(stored))).all(1)].T
    drawn = np.full_like(stored, -1)
    drawn[rows, columns] = 1
    return drawn


def _square_around(box: Corners, width: int, height: int) -> tuple[int, int, int, int]:
    """The reference crop of a face box in fractions, in pixels."""
    return square_around(box * np.array([width, height, width, height], np.float32), CROP_FACTOR)


def unpack_signs(bits: UInt8[np.ndarray, "1152"]) -> Int8[np.ndarray, "96 96"]:
    """A record's raster as -1 and +1."""
    return (2 * np.unpackbits(bits).reshape(96, 96).astype(np.int8) - 1).astype(np.int8)


@dataclass(eq=False)
class PictureFields:
    """Rows of a batch made from pictures.

    Attributes:
        source: of the records.
        spec: what a batch holds.
        tokenizer: prompts to ids; needed for the fields of text.
    """

    source: Source
    spec: BatchSpec
    tokenizer: Any = None
    _ids: dict[str, Int[np.ndarray, "l"]] = field(default_factory=dict)

    def row(self, position: int) -> Row:
        """The arrays of one record.

        Raises:
            DamagedRecordError: it or its picture cannot be read, or a face is asked for and it has none.
        """
        record = self.source[position]
        wanted = set(self.spec.fields)
        row: Row = {}
        if wanted & {*FACE, "raster"} and not len(record.embedding):
            raise DamagedRecordError(f"record {record.key}: has no face")
        if wanted & {"pixels", "reference"}:
            row |= self._pictures(record, wanted)
        if "face_box" in wanted:
            row["face_box"] = box_in_square(record.face_box, record.width, record.height)
        if "text_ids" in wanted:
            row["text_ids"] = self.ids(record.caption)
        if "face_text_ids" in wanted:
            row["face_text_ids"] = self.ids(record.face_prompt)
        if "id_embedding" in wanted:
            row["id_embedding"] = record.embedding.astype(np.float32)
        if "raster" in wanted:
            row["raster"] = reference_raster(record, self.source.info.reference_crop)
        return row

    def _pictures(self, record: PictureRecord, wanted: set[str]) -> Row:
        try:
            picture = rgb_from_bytes(record.picture, f"record {record.key}")
        except InputError as error:
            raise DamagedRecordError(str(error)) from error
        row: Row = {}
        if "reference" in wanted:
            crop, size = self.source.info.reference_crop, self.spec.reference_size
            row["reference"] = reference_square(picture, record.face_box, crop, size)
        if "pixels" in wanted:
            row["pixels"] = training_square(picture, self.spec.image_size)
        return row

    def ids(self, prompt: str) -> Int[np.ndarray, "l"]:
        """A prompt's ids; face prompts are few, and are looked up once."""
        known = self._ids.get(prompt)
        if known is None:
            known = self.tokenizer.ids([prompt])[0]
            if len(self._ids) < REMEMBERED:
                self._ids[prompt] = known
        return known


@dataclass(eq=False)
class FeatureFields:
    """Rows of a batch copied from precomputed features."""

    source: FeatureSource
    spec: BatchSpec

    def __post_init__(self) -> None:
        held = {one.name for one in self.source.table.fields}
        self.names = [feature_or_raw(name, held) for name in self.spec.fields]

    def row(self, position: int) -> Row:
        """The arrays of one record, views into its bytes.

        Raises:
            DamagedRecordError: it cannot be read.
        """
        row = self.source.row(position)
        return {name: row[name] for name in self.names if name in row}


def feature_or_raw(name: str, held: set[str]) -> str:
    """What a dataset of features holds for a raw field: its feature, or else the field itself."""
    return FEATURES[name] if FEATURES.get(name) in held else name
