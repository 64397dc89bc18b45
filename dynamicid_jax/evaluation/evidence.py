"""All judged pictures of a suite, by kind, and what measures ask of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.evaluation.colours import Colours
from dynamicid_jax.evaluation.contents import head_boxes
from dynamicid_jax.evaluation.looks import Face, Look
from dynamicid_jax.evaluation.metrics import face_sim, rank
from dynamicid_jax.evaluation.shots import GALLERY, Shot, block_of
from dynamicid_jax.types import Box

GateMaps = dict[str, Float[np.ndarray, "_ _"]]


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture with its shot and what the judges saw.

    Attributes:
        shot: what it was meant to be.
        picture: None where the pipeline refused to draw it (a reference without a face, say).
        look: its faces.
        gates: its gate maps by layer; empty where none are kept.
        token_error: (squared error of edited face tokens, of copied ones), or None.
    """

    shot: Shot
    picture: UInt8[np.ndarray, "h w 3"] | None
    look: Look
    gates: GateMaps = field(default_factory=dict)
    token_error: tuple[float, float] | None = None

    @property
    def face(self) -> Face | None:
        """The largest face."""
        return max(self.look, key=lambda one: one.area, default=None)

    @cached_property
    def placed(self) -> list[Face | None]:
        """For each person asked for, the face in their place (see `place_faces`)."""
        return place_faces(self.look, head_boxes(len(self.shot.shows.people)))


def place_faces(look: Look, boxes: Sequence[Box]) -> list[Face | None]:
    """The face of every box: the largest of those whose middle lies in it; None where there is none."""

    def inside(face: Face, box: Box) -> bool:
        x, y = face.middle
        return bool(box[0] <= x < box[2] and box[1] <= y < box[3])

    found = [[face for face in look if inside(face, box)] for box in boxes]
    return [max(some, key=lambda one: one.area, default=None) for some in found]


class Evidence:
    """Pictures by kind, the gallery, the classifiers of colours.

    Attributes:
        colours: names shirts and backgrounds.
        scores: by a shot's name, how well it did; measures note it, and the sheets show the worst first.
    """

    def __init__(
        self,
        seen: Iterable[Seen],
        gallery: Callable[[int], Float[np.ndarray, "50 e"]],
        colours: Colours,
    ) -> None:
        """Sorts the pictures by kind.

        Args:
            seen: all pictures.
            gallery: embeddings of the people of a block by its first person; rows of NaN where no face was found.
            colours: the classifiers.
        """
        self._kinds: dict[str, list[Seen]] = {}
        for one in seen:
            self._kinds.setdefault(one.shot.kind, []).append(one)
        self._gallery = gallery
        self.colours = colours
        self.scores: dict[str, float] = {}

    def of(self, kind: str) -> list[Seen]:
        """All pictures of a kind, by number; empty where the suite has none, or no truth of them."""
        return self._kinds.get(kind, [])

    def note(self, one: Seen, value: float) -> None:
        """Keeps a picture's score for the sheets: the lowest of all that are noted."""
        self.scores[one.shot.name] = min(value, self.scores.get(one.shot.name, np.inf))

    def rank(self, face: Face | None, person: int) -> int:
        """The person's place among the 50 of their block for a face; 51 where there is no face."""
        if face is None:
            return GALLERY + 1
        block = block_of(person)
        return rank(face.embedding, self._gallery(block.start), person - block.start)

    def similarity(self, face: Face | None, person: int) -> float:
        """FaceSim of a face to the person's picture in the gallery; 0 where one of them is missing."""
        block = block_of(person)
        known = self._gallery(block.start)[person - block.start]
        return (
            0.0 if face is None or not np.isfinite(known).all() else face_sim(face.embedding, known)
        )
