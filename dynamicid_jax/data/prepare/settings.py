"""What a preparation was asked to do."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

Layout = Literal["auto", "photos", "variface", "studio", "captions"]
PictureFormat = Literal["auto", "png", "jpeg"]
SplitBy = Literal["person", "picture"]

JOURNAL_VERSION = 1  # of what a look keeps; journals of another version are made again


@dataclass(frozen=True)
class Settings:
    """The request of one preparation.

    Attributes:
        photos: the folder of photographs, or the JSON list of captioned pictures.
        out: where the dataset is written; gs:// and other schemes too.
        face_pack: folder or name of an insightface pack; None only for captioned pictures without faces.
        layout: how `photos` is arranged; "auto" finds out.
        work: folder for the journal of finished photographs; None puts it beside a local `out`.
        crop_factor: side of the square cut around a face, in face boxes.
        inside: whether that square is moved and shrunk to lie inside the photograph, as far as the face box allows.
        max_side: of a stored picture in pixels; larger ones are scaled down, none is scaled up.
        picture_format: "auto" stores pictures up to 256 pixels a side as PNG and larger ones as JPEG.
        quality: of JPEG.
        landmarks: points of the rasters: 5, 68 or 106; None takes the pack's richest set.
        id_channels: channel order that the recogniser gets (METHOD section 2).
        expression_judge: an ONNX file that names expressions, or None.
        outliers: "reject" leaves faces out that do not agree with their person, "keep" only reports them.
        agreement: the limit below which a face does not agree; None measures it on the photographs.
        licence: of people whose person.json names none.
        consent: likewise.
        split_by: whether splits part people, or pictures within each person.
        validation: share (below 1) or number (1 and above) of people, or of pictures of each person, held out.
        seed: of the split.
        processes: that look at photographs at the same time; 0 counts the CPUs.
        keep_work: whether the journal is kept after the dataset is written.
        overwrite: whether a dataset that is already at `out` is replaced.
        sheet_pages: most pages of pictures in the report.
    """

    photos: str
    out: str
    face_pack: str | None = None
    layout: Layout = "auto"
    work: str | None = None
    crop_factor: float = 2.0
    inside: bool = False
    max_side: int = 1024
    picture_format: PictureFormat = "auto"
    quality: int = 95
    landmarks: int | None = None
    id_channels: Literal["rgb", "bgr"] = "bgr"
    expression_judge: str | None = None
    outliers: Literal["reject", "keep"] = "reject"
    agreement: float | None = None
    licence: str = ""
    consent: str = ""
    split_by: SplitBy = "person"
    validation: float = 0.1
    seed: int = 0
    processes: int = 0
    keep_work: bool = False
    overwrite: bool = False
    sheet_pages: int = 8

    def looking(self, whole: bool, networks: dict[str, str]) -> str:
        """A short name for everything that decides what a look finds; journals are kept under it.

        Args:
            whole: whether pictures are kept whole.
            networks: SHA-256 of every ONNX file in use, by name.
        """
        names = (
            "crop_factor",
            "inside",
            "max_side",
            "picture_format",
            "quality",
            "landmarks",
            "id_channels",
        )
        parts = {name: getattr(self, name) for name in names}
        parts |= {"whole": whole, "networks": networks, "version": JOURNAL_VERSION}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def asked(self) -> dict[str, object]:
        """All that decides what the dataset holds, as JSON values."""
        idle = ("out", "work", "processes", "keep_work", "overwrite", "sheet_pages")
        return {name: value for name, value in asdict(self).items() if name not in idle}
