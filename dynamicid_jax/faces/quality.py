"""Is a photograph good enough to make a likeness from? Measured numbers against limits, in words.

    reason          hard   measured                                               limit
    unreadable      yes    the file                                               see images.py
    no face         yes    the detector, looked twice (pack.detect)
    no such face    yes    the face asked for by `which`
    several faces   no     their number
    face too small  no     width of the box in pixels                             64 at least
    blurred         no     variance of the Laplacian, eyes to chin, at 112 px     30 at least
    extreme pose    no     |yaw|, |pitch| in degrees                              45, 40 at most
    low score       no     the detector's score                                   0.6 at least

Hard reasons stop, soft ones warn. The limit of sharpness was checked on 8 faces of real photographs
that are 78 to 110 pixels wide: 167 to 615 as they are, 37 to 117 blurred by a Gaussian of 1 % of
the face's width, 7 to 24 by 2 %, 3 to 8 by 3 %. A face under the width limit is enlarged for the
measurement and so always smooth; it is called small, not blurred.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from dynamicid_jax.faces.record import FaceRecord

MIN_WIDTH = 64.0
MIN_SHARPNESS = 30.0
MAX_YAW = 45.0
MAX_PITCH = 40.0
MIN_SCORE = 0.6

Reason = Literal[
    "unreadable",
    "no face",
    "no such face",
    "several faces",
    "face too small",
    "blurred",
    "extreme pose",
    "low score",
]


@dataclass(frozen=True)
class Finding:
    """One thing about a photo that its owner should know.

    Attributes:
        reason: which of the reasons above.
        text: a plain sentence with the number and the limit.
        hard: the photo cannot be used.
        value: what was measured, if a number was.
        limit: what it was held against.
    """

    reason: Reason
    text: str
    hard: bool = False
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was found in one photograph, and whether it will do.

    Attributes:
        photo: its name.
        size: width and height in pixels; None where it could not be read.
        faces: how many faces there are.
        taken: which was taken, counted from the left, from 0; None without a face.
        record: the face taken, or None.
        sharpness: see `sharpness`; None without a face.
        findings: what to know, hard ones first.
    """

    photo: str
    size: tuple[int, int] | None = None
    faces: int = 0
    taken: int | None = None
    record: FaceRecord | None = None
    sharpness: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether no finding is hard."""
        return not any(finding.hard for finding in self.findings)

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if not self.usable:
            return "not usable"
        return "usable" if self.findings else "good"

    def lines(self) -> list[str]:
        """One line per finding, each with the photo's name."""
        return [f"{self.photo}: {finding.text}" for finding in self.findings]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. The embedding, which is biometric data, is not among them."""
        return {
            "photo": self.photo,
            "verdict": self.word,
            "width": self.size and self.size[0],
            "height": self.size and self.size[1],
            "faces": self.faces,
            "taken": self.taken,
            "face": self.record and self._face(self.record),
            "findings": [vars(finding) for finding in self.findings],
        }

    def _face(self, record: FaceRecord) -> dict[str, Any]:
        pose = record.pose
        return {
            "box_pixels": [round(float(edge), 1) for edge in record.box],
            "score": round(record.score, 3),
            "sharpness": round(self.sharpness or 0.0, 1),
            "yaw": round(pose.yaw, 1),
            "pitch": round(pose.pitch, 1),
            "roll": round(pose.roll, 1),
            "pose_source": pose.source,
            "landmarks": record.landmark_set,
        }


def sharpness(face: UInt8[np.ndarray, "112 112 3"]) -> float:
    """Variance of the Laplacian (four neighbours minus four times the middle) of a face in grey.

    Args:
        face: 112 pixels wide and high, from `aligned_face`; only its middle counts, from brows to
            chin and cheek to cheek, so that neither background nor the photo's edge plays a part.
    """
    middle = face[24:104, 20:92].astype(np.float32)
    grey = middle @ np.array([0.299, 0.587, 0.114], np.float32)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())


def soft_findings(record: FaceRecord, sharp: float) -> list[Finding]:
    """What speaks against a face as a reference, without ruling it out."""
    found = []
    if record.detection.width < MIN_WIDTH:
        text = f"face is {record.detection.width:.0f} px wide; "
        text += f"at least {MIN_WIDTH:.0f} px gives good likeness"
        found.append(_soft("face too small", text, record.detection.width, MIN_WIDTH))
    elif sharp < MIN_SHARPNESS:
        text = f"face is blurred: sharpness {sharp:.0f}; at least {MIN_SHARPNESS:.0f} "
        text += "gives good likeness"
        found.append(_soft("blurred", text, sharp, MIN_SHARPNESS))
    pose = record.pose
    source = "" if pose.source == "network" else f" ({pose.source})"
    if abs(pose.yaw) > MAX_YAW:
        side = "right" if pose.yaw > 0 else "left"
        text = f"face is turned {abs(pose.yaw):.0f} degrees to the picture's {side}{source}; "
        text += f"at most {MAX_YAW:.0f} gives good likeness"
        found.append(_soft("extreme pose", text, pose.yaw, MAX_YAW))
    if abs(pose.pitch) > MAX_PITCH:
        way = "up" if pose.pitch > 0 else "down"
        text = f"face looks {way} by {abs(pose.pitch):.0f} degrees{source}; "
        text += f"at most {MAX_PITCH:.0f} gives good likeness"
        found.append(_soft("extreme pose", text, pose.pitch, MAX_PITCH))
    if record.score < MIN_SCORE:
        text = f"the detector is unsure that this is a face: score {record.score:.2f}; "
        text += f"at least {MIN_SCORE} is usual"
        found.append(_soft("low score", text, record.score, MIN_SCORE))
    return found


def _soft(reason: Reason, text: str, value: float, limit: float) -> Finding:
    return Finding(reason, text, value=round(value, 3), limit=limit)
