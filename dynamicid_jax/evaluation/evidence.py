"""All judged pictures of a suite, by kind, and what measures ask of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.evaluation.colours import Colours
from dynamicid_jax.evaluation.contents import Content, head_boxes
from dynamicid_jax.evaluation.looks import Face, Look
from dynamicid_jax.evaluation.metrics import face_sim, matching, rank
from dynamicid_jax.evaluation.photographs import Photo
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
        prompt: the words that it was drawn from.
        seconds: that it took, by the rows of its batch; None where that was not noted.
        seconds_compiling: with everything before it, references and compiling; likewise.
    """

    shot: Shot
    picture: UInt8[np.ndarray, "h w 3"] | None
    look: Look
    gates: GateMaps = field(default_factory=dict)
    token_error: tuple[float, float] | None = None
    prompt: str = ""
    seconds: float | None = None
    seconds_compiling: float | None = None

    @property
    def face(self) -> Face | None:
        """The largest face."""
        return max(self.look, key=lambda one: one.area, default=None)

    @cached_property
    def placed(self) -> list[Face | None]:
        """For each person asked for, the face in their place (see `place_faces`)."""
        return place_faces(self.look, head_boxes(len(self.shot.shows.people)))

    @property
    def faces(self) -> list[Face | None]:
        """One person: the largest face; several: by place."""
        return self.placed if len(self.shot.shows.people) > 1 else [self.face]

    @property
    def content(self) -> Content:
        """What it should show, of made-up people."""
        assert isinstance(self.shot.shows, Content)
        return self.shot.shows

    def expressions_right(self, faces: Sequence[Face | None]) -> list[bool | None]:
        """Whether everybody's face has the expression asked for; None where nothing is asked."""
        return [
            None if asked is None else face is not None and face.expression == asked
            for face, asked in zip(faces, self.shot.shows.expressions, strict=True)
        ]

    def poses_right(self, faces: Sequence[Face | None]) -> list[bool | None]:
        """Likewise for poses."""
        return [
            None if asked is None else face is not None and face.turn == asked
            for face, asked in zip(faces, self.shot.shows.poses, strict=True)
        ]


def place_faces(look: Look, boxes: Sequence[Box]) -> list[Face | None]:
    """The face of every box: the largest of those whose middle lies in it; None where there is none."""

    def inside(face: Face, box: Box) -> bool:
        x, y = face.middle
        return bool(box[0] <= x < box[2] and box[1] <= y < box[3])

    found = [[face for face in look if inside(face, box)] for box in boxes]
    return [max(some, key=lambda one: one.area, default=None) for some in found]


Embedding = Float[np.ndarray, "e"]


@dataclass(frozen=True, eq=False)
class Known:
    """What the judges know besides a suite's pictures; asked for when it is needed.

    Attributes:
        gallery: embeddings of the people of a block by its first person; rows of NaN where no face was found.
        colours: names shirts and backgrounds.
        cell: pixels of a latent cell: what boxes are cut to.
        photo: the embedding of the largest face of a photo; None where none is found.
        targets: by a shot's name, faces of its people in another true picture; None where none is found.
        alike: similarity of a picture and a text by a CLIP judge; None where the suite names none.
    """

    gallery: Callable[[int], Float[np.ndarray, "50 e"]]
    colours: Callable[[], Colours]
    cell: int
    photo: Callable[[Photo], Embedding | None] = lambda photo: None
    targets: Callable[[Shot], Sequence[Embedding | None]] = lambda shot: (
        [None] * len(shot.shows.people)
    )
    alike: Callable[[UInt8[np.ndarray, "h w 3"], str], float] | None = None


class Evidence:
    """Pictures by kind, and what else the judges know.

    Attributes:
        known: besides the pictures.
        scores: by a shot's name, how well it did; measures note it, and the sheets show the worst first.
    """

    def __init__(self, seen: Iterable[Seen], known: Known) -> None:
        """Sorts the pictures by kind."""
        self._kinds: dict[str, list[Seen]] = {}
        for one in seen:
            self._kinds.setdefault(one.shot.kind, []).append(one)
        self.known = known
        self.scores: dict[str, float] = {}
        self._matched: dict[str, list[Face | None]] = {}

    @cached_property
    def colours(self) -> Colours:
        """Names shirts and backgrounds."""
        return self.known.colours()

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
        return rank(face.embedding, self.known.gallery(block.start), person - block.start)

    def similarity(self, face: Face | None, person: int) -> float:
        """FaceSim of a face to the person's picture in the gallery; 0 where one of them is missing."""
        block = block_of(person)
        known = self.known.gallery(block.start)[person - block.start]
        return (
            0.0 if face is None or not np.isfinite(known).all() else face_sim(face.embedding, known)
        )

    def references(self, one: Seen) -> list[Embedding | None]:
        """Everybody's reference photo as the judge sees it."""
        return [self.known.photo(subject.photos[0][0]) for subject in one.shot.subjects]

    def matched(self, one: Seen) -> list[Face | None]:
        """Everybody's face: with one person the largest, with several the pairs of the highest sum of FaceSim."""
        if len(one.shot.subjects) < 2:
            return one.faces
        if one.shot.name not in self._matched:
            self._matched[one.shot.name] = self._pairs(one)
        return self._matched[one.shot.name]

    def _pairs(self, one: Seen) -> list[Face | None]:
        pairs = matching(self.similarities(one))
        return [one.look[pairs[i]] if i in pairs else None for i in range(len(one.shot.subjects))]

    def similarities(self, one: Seen) -> Float[np.ndarray, "people faces"]:
        """FaceSim of every face found to everybody's reference; 0 to a reference without a face."""
        return np.array(
            [
                [0.0 if known is None else face_sim(face.embedding, known) for face in one.look]
                for known in self.references(one)
            ]
        ).reshape(len(one.shot.subjects), len(one.look))
