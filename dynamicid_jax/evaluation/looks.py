"""What the judges see in a picture: every face the pack finds, with the judges' opinions. Kept in a file.

A face is found by the suite's detector through insightface (`FacePack.detect`); identity, expression and pose are read
by its judges (judges.py).
"""

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.evaluation.journal import Journal
from dynamicid_jax.evaluation.judges import Judges


@dataclass(frozen=True, eq=False)
class Face:
    """One face as it was judged.

    Attributes:
        box: x0, y0, x1, y1 in fractions of the picture; may pass its edges.
        embedding: of the judge recogniser, of length 1.
        expression: the likeliest of motion.EXPRESSIONS.
        turn: the likeliest of the five poses, up, down.
        score: the detector's.
    """

    box: Float[np.ndarray, "4"]
    embedding: Float[np.ndarray, "e"]
    expression: int
    turn: int
    score: float = 1.0

    @property
    def middle(self) -> Float[np.ndarray, "2"]:
        """X and y."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def area(self) -> float:
        """Of the box."""
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 0)))


Look = list[Face]
"""All faces of a picture, from left to right; empty where none is found."""


Looker = Callable[[UInt8[np.ndarray, "h w 3"]], Look]
"""Finds and judges the faces of a picture."""


class JudgeLooker:
    """A suite's detector and its judges."""

    def __init__(self, judges: Judges) -> None:
        """Takes opened judges."""
        self._judges = judges

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> Look:
        """All faces, from left to right."""
        sides = np.tile(np.array(picture.shape[1::-1], np.float32), 2)
        faces = []
        for found in self._judges.pack.detect(picture):
            expression, turn = self._judges.motion(picture, found)
            faces.append(
                Face(
                    box=(found.box / sides).astype(np.float32),
                    embedding=self._judges.embedding(picture, found),
                    expression=expression,
                    turn=turn,
                    score=found.score,
                )
            )
        return faces


class KeptLooks:
    """Looks at pictures once: what was seen is kept by the picture's bytes in a file of JSON lines."""

    def __init__(self, looker: Looker, file: Path, fingerprint: str) -> None:
        """Reads what is kept.

        Args:
            looker: for pictures that were not seen yet.
            file: made if need be; what other judges saw in it is not used.
            fingerprint: of the judges.
        """
        self._looker, self._fingerprint = looker, fingerprint
        self._journal = Journal(file)
        self._seen = {
            one["picture"]: [_from_json(face) for face in one["faces"]]
            for one in self._journal.read()
            if one.get("judges") == fingerprint
        }

    def __call__(
        self,
        pictures: Iterable[UInt8[np.ndarray, "h w 3"]],
        tell: Callable[[], None] = lambda: None,
    ) -> list[Look]:
        """Looks at each; `tell` is called after every picture."""
        looks = []
        for picture in pictures:
            key = picture_key(picture)
            if key not in self._seen:
                self._seen[key] = self._looker(picture)
                faces = [_to_json(face) for face in self._seen[key]]
                self._journal.write({"judges": self._fingerprint, "picture": key, "faces": faces})
            looks.append(self._seen[key])
            tell()
        return looks


def picture_key(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    """What a picture's looks are kept under."""
    return hashlib.sha256(f"{picture.shape}".encode() + picture.tobytes()).hexdigest()[:24]


def _to_json(face: Face) -> dict[str, Any]:
    raw = np.concatenate([face.box, face.embedding]).astype("<f4")
    rest = {"expression": face.expression, "turn": face.turn, "score": face.score}
    return {"numbers": base64.b64encode(raw.tobytes()).decode(), **rest}


def _from_json(one: dict[str, Any]) -> Face:
    raw = np.frombuffer(base64.b64decode(one["numbers"]), "<f4").astype(np.float32)
    return Face(raw[:4], raw[4:], one["expression"], one["turn"], one["score"])
