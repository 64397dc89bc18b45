"""One picture of a dataset, with everything that training reads about it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

DATASET_VERSION = "1.0.0"  # of the record's layout; a dataset of another version is refused

LANDMARK_SETS = (5, 68, 106)


@dataclass(frozen=True, eq=False)
class PictureRecord:
    """One picture.

    Attributes:
        key: unique in the dataset, "<person>/<picture>"; messages name a record by it.
        person: whose face it is; "" for captioned pictures that belong to nobody in particular.
        picture: the encoded file (PNG or JPEG), RGB, upright.
        width: of the picture in pixels.
        height: likewise.
        caption: the prompt of stage 1.
        face_prompt: expression and pose in METHOD's wording; "" where there is no face.
        expression: one of METHOD's seven, or "" where it is not known.
        expression_source: where that came from.
        yaw: degrees, positive towards the picture's right (faces/pose.py); nan where there is no face.
        pitch: degrees, positive up.
        roll: degrees.
        pose_source: "network", "estimated from 5 points", "text" or "".
        face_box: x0, y0, x1, y1 as fractions of the picture; zeros where there is no face.
        raster: the 96 x 96 landmark picture as packed bits, row by row (see `pack_raster`), of the whole picture.
        embedding: L2-normalised identity; of length 0 where there is none.
        studio_cell: 5 * expression + pose in the 7 x 5 studio grid, -1 outside it.
        source: the file it was made from, relative to the photographs' folder.
        sha256: of that file.
        licence: under which the person's pictures may be used.
        consent: what the person agreed to.
        quality: the verdict on the photo (`faces.quality.Verdict.to_json`), as JSON text.
    """

    key: str
    person: str
    picture: bytes
    width: int
    height: int
    caption: str
    face_prompt: str
    expression: str
    expression_source: Literal["judge", "text", "none", "grid"]
    yaw: float
    pitch: float
    roll: float
    pose_source: str
    face_box: Float[np.ndarray, "4"]
    raster: UInt8[np.ndarray, "1152"]
    embedding: Float[np.ndarray, "e"]
    studio_cell: int = -1
    source: str = ""
    sha256: str = ""
    licence: str = ""
    consent: str = ""
    quality: str = "{}"


@dataclass(frozen=True)
class FieldLayout:
    """Where one array of a precomputed record comes from: its bytes follow those of the field before.

    Attributes:
        name: in data/batch.py.
        dtype: of the array.
        shape: likewise.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class FeatureTable:
    """What the records of a dataset of precomputed features hold, and what they were computed with.

    Attributes:
        fields: arrays of a record, in order.
        image_size: side of the pictures that the VAE saw.
        models: "component: fingerprint" of every network that was run, and of the tokenizer.
    """

    fields: tuple[FieldLayout, ...]
    image_size: int
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetInfo:
    """What holds for all records of a dataset; kept beside them as dataset.json.

    Attributes:
        landmark_set: how many points the rasters hold: 106, 68 or 5; 0 for captioned pictures without faces. Datasets
            and models of different sets do not mix.
        id_channels: channel order that the recogniser was given (METHOD section 2).
        reference_crop: what the image encoder sees of a picture.
        embedding_width: length of the id embeddings; 0 without.
        face_pack: name of the pack, and "file: sha256" of its networks.
        split_by: whether splits part persons, or pictures within each person.
        splits: number of records of each split.
        persons: number of persons of each split.
        features: the layout of precomputed records; None where records are pictures.
        version: of the record's layout.
    """

    landmark_set: int
    id_channels: Literal["rgb", "bgr"] = "bgr"
    reference_crop: Literal["none", "face x 2"] = "face x 2"
    embedding_width: int = 512
    face_pack: tuple[str, ...] = ()
    split_by: Literal["person", "picture"] = "person"
    splits: dict[str, int] | Any = None
    persons: dict[str, int] | Any = None
    features: FeatureTable | None = None
    version: str = DATASET_VERSION


def pack_raster(raster: Float[np.ndarray, "96 96"]) -> UInt8[np.ndarray, "1152"]:
    """A raster of -1 and +1 as bits."""
    return np.packbits(raster.reshape(-1) > 0)


def unpack_raster(bits: UInt8[np.ndarray, "1152"]) -> Float[np.ndarray, "96 96"]:
    """The inverse of `pack_raster`."""
    return np.where(np.unpackbits(bits).reshape(96, 96) > 0, 1.0, -1.0).astype(np.float32)
