"""What became of every photograph, and the records of those that are kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dynamicid_jax.data.prepare.choose import Candidates, Choice, Chosen, choose_faces
from dynamicid_jax.data.prepare.journal import Journal
from dynamicid_jax.data.prepare.layouts import terms_of
from dynamicid_jax.data.prepare.look import Face, Look
from dynamicid_jax.data.prepare.scan import Photo, Scan
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.prepare.words import Described, Said, describe, understand
from dynamicid_jax.data.record import PictureRecord, pack_raster
from dynamicid_jax.faces.landmarks import RASTER_SIZE
from dynamicid_jax.faces.pose import Pose
from dynamicid_jax.faces.prompts import Expression

NO_CONSENT = "no consent"
EMPTY_RASTER = pack_raster(np.full((RASTER_SIZE, RASTER_SIZE), -1.0, np.float32))


@dataclass
class Outcome:
    """One photograph after everything is known about it.

    Attributes:
        photo: the photograph.
        face: place of the face taken among its look's faces; None without one.
        faces: how many candidates there were.
        reason: why it is left out, in two words; "" if it is kept.
        text: the same in a sentence.
        agreement: with the person's other photographs; nan where there was nothing to compare with.
        looks_like: the other person whose face it seems to be.
        described: the face in words.
        certainty: of the judge.
        beyond: share of the stored picture beyond the photo's edges.
        split: which split it is in, if it is kept.
    """

    photo: Photo
    face: int | None = None
    faces: int = 0
    reason: str = ""
    text: str = ""
    agreement: float = float("nan")
    looks_like: str = ""
    described: Described = field(default_factory=Described)
    certainty: float = 0.0
    beyond: float = 0.0
    split: str = ""

    @property
    def kept(self) -> bool:
        """Whether it becomes a record."""
        return not self.reason


@dataclass
class Sorting:
    """All outcomes, and what was measured on the way: most points in a landmark picture that was given, for one."""

    outcomes: list[Outcome]
    chosen: Chosen
    embedding_width: int = 0
    most_points: int = 0

    def kept(self) -> list[Outcome]:
        """Those that become records."""
        return [one for one in self.outcomes if one.kept]

    def rejected(self) -> list[Outcome]:
        """Those that do not."""
        return [one for one in self.outcomes if not one.kept]


def sort_out(
    found: Scan, refused: Sequence[Photo], journal: Journal, settings: Settings
) -> Sorting:
    """Reads every look once and decides about every photograph.

    Args:
        found: the photographs that were looked at.
        refused: photographs of people who did not agree; not looked at.
        journal: the looks.
        settings: the request.
    """
    outcomes: list[Outcome] = []
    people: dict[str, list[Candidates]] = {}
    files: dict[tuple[str, str], str] = {}
    width = points = 0
    for photo in found.photos:
        look = journal.load(photo, pictures=False)
        one = _first_outcome(photo, look, found)
        outcomes.append(one)
        if one.kept and files.setdefault((photo.person, look.sha256), photo.source) != photo.source:
            one.reason = "duplicate"
            one.text = f"the same file as {files[photo.person, look.sha256]}"
        if look.faces:
            width = len(look.faces[0].embedding)
            if photo.raster:
                drawn = np.unpackbits(look.faces[0].raster)
                points = max(points, int(drawn.sum()))
        if one.kept and look.faces and photo.person:
            embeddings = np.stack([face.embedding for face in look.faces])
            areas = np.array([face.area for face in look.faces])
            people.setdefault(photo.person, []).append(Candidates(photo.key, embeddings, areas))
    chosen = choose_faces(people, settings.agreement)
    for one in outcomes:
        _finish(one, chosen.by_key.get(one.photo.key), journal, settings)
    outcomes += [
        Outcome(photo, reason=NO_CONSENT, text="the person did not agree") for photo in refused
    ]
    return Sorting(outcomes, chosen, width, points)


def _first_outcome(photo: Photo, look: Look, found: Scan) -> Outcome:
    """What a look alone says."""
    one = Outcome(photo, faces=len(look.faces))
    if look.problem:
        one.reason, one.text = look.problem
    elif found.layout == "variface" and not photo.raster:
        one.reason, one.text = (
            "no landmarks",
            f"its landmark picture is missing: {_raster_name(photo)}",
        )
    return one


def _raster_name(photo: Photo) -> str:
    return f"{photo.source.rsplit('.', 1)[0]}_landmark.png"


def _finish(one: Outcome, choice: Choice | None, journal: Journal, settings: Settings) -> None:
    """Fills in the face, its words, and whether it belongs to the person."""
    if not one.faces:
        return
    look = journal.load(one.photo, pictures=False)
    if choice is None:  # of nobody in particular, or rejected before: the largest
        one.face = int(np.argmax([face.area for face in look.faces]))
    else:
        one.face, one.agreement, one.looks_like = choice.face, choice.agreement, choice.looks_like
        one.text = choice.text
        if choice.text and settings.outliers == "reject":
            one.reason = "another person"
    face = look.faces[one.face]
    one.certainty, one.beyond = face.certainty, face.beyond
    one.described = describe(said_of(one.photo), _pose(face), _judged(face), one.photo.cell)


def said_of(photo: Photo) -> Said:
    """What a photograph's text says."""
    return understand(photo.text, photo.source)


def _pose(face: Face) -> Pose:
    return Pose(*face.angles, source=face.pose_source)  # type: ignore[arg-type]


def _judged(face: Face) -> Expression | None:
    return face.expression or None  # type: ignore[return-value]


def make_records(
    outcomes: Sequence[Outcome], found: Scan, journal: Journal
) -> Iterator[PictureRecord]:
    """One record after the other; only one picture is in memory at a time."""
    for one in outcomes:
        yield make_record(one, journal.load(one.photo), found)


def make_record(one: Outcome, look: Look, found: Scan) -> PictureRecord:
    """The record of a photograph that is kept."""
    photo, terms, said = one.photo, terms_of(found, one.photo), said_of(one.photo)
    face = None if one.face is None else look.faces[one.face]
    picture = look.picture if face is None or face.picture is None else face.picture
    assert picture is not None
    yaw, pitch, roll = face.angles if face else (float("nan"),) * 3
    described = one.described
    return PictureRecord(
        key=photo.key,
        person=photo.person,
        picture=picture.data,
        width=picture.width,
        height=picture.height,
        caption=said.caption or described.prompt,
        face_prompt=described.prompt,
        expression=described.expression,
        expression_source=described.source,  # type: ignore[arg-type]
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        pose_source=face.pose_source if face else "",
        face_box=face.box if face else np.zeros(4, np.float32),
        raster=face.raster if face else EMPTY_RASTER,
        embedding=face.embedding if face else np.zeros(0, np.float32),
        studio_cell=photo.cell,
        source=photo.source,
        sha256=look.sha256,
        licence=terms.licence,
        consent=terms.consent,
        quality=face.quality if face else "{}",
    )


def people_of(outcomes: Sequence[Outcome]) -> Mapping[str, list[Outcome]]:
    """Outcomes by person, in order; "" where there are pictures of nobody in particular."""
    found: dict[str, list[Outcome]] = {}
    for one in outcomes:
        found.setdefault(one.photo.person, []).append(one)
    return found
