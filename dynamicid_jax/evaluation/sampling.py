"""Phase 1: draws a suite's pictures in batches, and keeps what is done.

DIR/run.json               suite, model, settings; another of these needs another folder (runs.py)
DIR/pictures/KIND/N.png    with their recipes
DIR/gates/KIND/N.npz       gate maps, where a shot keeps them
DIR/pictures.jsonl         one line per picture, written after its files: a killed run goes on behind the last line

Seconds are taken of programs that are compiled: before the first batch of a shape one step of it is drawn for nobody.

    seconds             of encoding prompts, sampling and decoding a batch / its rows, filled up or not
    seconds_compiling   of a batch with everything before it (photos, faces, compiling) / its pictures
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.errors import FaceError
from dynamicid_jax.evaluation.contents import Content, words
from dynamicid_jax.evaluation.journal import Journal
from dynamicid_jax.evaluation.photographs import Photo, Wish, photo_pixels
from dynamicid_jax.evaluation.runs import Settings, claim_folder
from dynamicid_jax.evaluation.shots import Shot, Subject
from dynamicid_jax.files import write_atomically
from dynamicid_jax.images import load_rgb
from dynamicid_jax.inference.generator import PLAN_ROWS
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.pipeline import DynamicIDPipeline, Output
from dynamicid_jax.inference.recipe import save_picture
from dynamicid_jax.inference.request import Request
from dynamicid_jax.provenance.consent import MADE_UP

PHOTO_SIZE = 256  # pixels: of reference and pose photos
RECORDS, PICTURES, GATES = "pictures.jsonl", "pictures", "gates"
Tell = Callable[[int, int], None]


def sample(
    pipe: DynamicIDPipeline,
    shots: Sequence[Shot],
    out: Path,
    settings: Settings,
    *,
    batch: int = 64,
    suite: str = "",
    edits: bool = True,
    tell: Tell = lambda done, total: None,
) -> int:
    """Draws what is not drawn yet; returns how many pictures that were.

    Args:
        pipe: the model, with its face pack.
        shots: what to draw.
        out: the folder; made if need be.
        settings: how.
        batch: pictures per compiled call, at most: shots of one shape are parted evenly.
        suite: what says which suite's pictures, and whose, these are.
        edits: False where shots that would be edited show the references' own motion: the same names, other pictures.
        tell: is told how many shots are done, of how many.

    Raises:
        InputError: the folder holds pictures of another model, of other settings or of another suite.
        OutputError: it cannot be written.
    """
    claim_folder(pipe, out, settings, suite, edits)
    journal = Journal(out / RECORDS)
    done = {one["name"] for one in journal.read() if _is_whole(out, one)}
    todo = [shot for shot in shots if shot.name not in done]
    rows = _rows(shots, batch)
    artist = _Artist(pipe, out, settings)
    finished = len(shots) - len(todo)
    tell(finished, len(shots))
    for some in _batches(todo, rows):
        journal.write(*artist.draw(some, rows[_shape(some[0])]))
        finished += len(some)
        tell(finished, len(shots))
    return len(todo)


def picture_file(out: Path, shot: Shot) -> Path:
    """Where a shot's picture is."""
    return out / PICTURES / f"{shot.name}.png"


def gates_file(out: Path, shot: Shot) -> Path:
    """Where a shot's gate maps are."""
    return out / GATES / f"{shot.name}.npz"


def refused(out: Path, shots: Sequence[Shot]) -> dict[str, str]:
    """Why, by name, for the shots that could not be drawn."""
    names = {shot.name for shot in shots}
    records = Journal(out / RECORDS).read()
    return {one["name"]: one["error"] for one in records if "error" in one and one["name"] in names}


def unet_calls(shots: Sequence[Shot], steps: int, guided: bool = True) -> int:
    """Forward passes of one picture each that shots cost."""
    return len(shots) * steps * (2 if guided else 1)


def _is_whole(out: Path, record: dict[str, Any]) -> bool:
    """Whether a line of the records stands for a picture that is there, or that cannot be drawn."""
    return "error" in record or (out / PICTURES / f"{record['name']}.png").is_file()


def _rows(shots: Sequence[Shot], most: int) -> dict[Hashable, int]:
    """Rows of a batch by shape: as few batches as `most` permits, and as even as can be, so that few rows are spare.

    They follow from all shots, drawn or not: a run that goes on needs no other program.
    """
    counts = Counter(map(_shape, shots))
    return {shape: -(-count // -(-count // most)) for shape, count in counts.items()}


def _batches(shots: Sequence[Shot], rows: dict[Hashable, int]) -> Iterator[list[Shot]]:
    """Shots of one shape, at most as many together as it has rows, in their order."""
    kinds: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        kinds.setdefault(_shape(shot), []).append(shot)
    for shape, some in kinds.items():
        size = rows[shape]
        yield from (some[start : start + size] for start in range(0, len(some), size))


def _shape(shot: Shot) -> Hashable:
    """What shots of one program have in common."""
    members = sum(len(subject.photos) for subject in shot.subjects)
    return len(shot.subjects), members, any(subject.box is not None for subject in shot.subjects)


class _Artist:
    """Draws batches into a folder."""

    def __init__(self, pipe: DynamicIDPipeline, out: Path, settings: Settings) -> None:
        self._pipe, self._out, self._settings = pipe, out, settings
        self._maker = _People(pipe)
        self._compiled: set[Hashable] = set()

    def draw(self, shots: list[Shot], rows: int) -> list[dict[str, Any]]:
        """Draws and saves one batch of so many rows; returns its records."""
        begin = time.perf_counter()
        self._maker.prepare(shots)
        records: list[dict[str, Any]] = []
        calls, drawn = [], []
        for shot, prompt in zip(shots, _prompts(shots), strict=True):
            try:
                people = [self._maker.person(subject) for subject in shot.subjects]
            except FaceError as error:
                records.append({"name": shot.name, "prompt": prompt, "error": str(error)})
                continue
            calls.append(self._call(shot, prompt, people))
            drawn.append((shot, prompt, people))
        if not calls:
            return records
        calls += [calls[-1]] * (rows - len(calls))  # spare rows: decoding has one program, too
        self._compile(_shape(shots[0]), calls)
        start = time.perf_counter()
        outputs = self._pipe.many(calls)
        end = time.perf_counter()
        took = {
            "seconds": round((end - start) / rows, 4),
            "seconds_compiling": round((end - begin) / len(drawn), 4),
        }
        for (shot, prompt, people), output in zip(drawn, outputs, strict=False):
            record = {"name": shot.name, "prompt": prompt, "seed": shot.seed, **took}
            if shot.aim is not None:
                record["token_error"] = self._maker.token_error(shot, people[0])
            _save(self._out, shot, output)
            records.append(record)
        return records

    def _call(self, shot: Shot, prompt: str, people: list[Person]) -> dict[str, Any]:
        call = {**self._settings.call(), "prompt": prompt, "people": people, "seed": shot.seed}
        call["identity_scale"] = self._settings.identity_scale * shot.identity_scale
        if shot.layout_strength is not None:
            call["layout_strength"] = shot.layout_strength
        return call

    def _compile(self, shape: Hashable, calls: list[dict[str, Any]]) -> None:
        """Draws the fewest steps that need the same programs, the first time that a shape is asked for."""
        if shape in self._compiled:
            return
        asked = {name: calls[0][name] for name in ("steps", "sampler")}
        steps = Request.resolve(self._pipe.config, prompt="", **asked).steps
        fewest = (steps - 1) // PLAN_ROWS * PLAN_ROWS + 1  # tables of steps are padded to PLAN_ROWS
        self._pipe.many([{**call, "steps": fewest} for call in calls])
        self._compiled.add(shape)


def _prompts(shots: Sequence[Shot]) -> list[str]:
    said: dict[tuple[Content, bool], str] = {}
    for motions in (True, False):
        some = [shot.shows for shot in shots if shot.says_motion == motions]
        contents = [shows for shows in some if isinstance(shows, Content)]
        for content, text in zip(contents, words(contents, motions=motions), strict=True):
            said[content, motions] = text
    return [
        shot.shows.prompt if isinstance(shot.shows, Wish) else said[shot.shows, shot.says_motion]
        for shot in shots
    ]


def _save(out: Path, shot: Shot, output: Output) -> None:
    if shot.keep_gates and output.gate_maps:
        maps = {name: gate[0].astype(np.float16) for name, gate in output.gate_maps.items()}
        file = gates_file(out, shot)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda stream: np.savez(stream, **maps))
    file = picture_file(out, shot)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_picture(output.images[0], file, output.metadata["recipe"])


class _People:
    """Persons made of drawn photos; a photo is drawn, and looked at, once per batch of shots."""

    def __init__(self, pipe: DynamicIDPipeline) -> None:
        self._pipe = pipe
        self._photos: dict[Photo, np.ndarray] = {}
        self._made: dict[Subject, Person] = {}

    def prepare(self, shots: Sequence[Shot]) -> None:
        """Draws the photos of these shots, and keeps what the last ones share with them."""
        needed: dict[Photo, None] = {}
        for shot in shots:
            for subject in shot.subjects:
                needed |= dict.fromkeys(photo for photo, _ in subject.photos)
                if subject.pose is not None:
                    needed[subject.pose] = None
            if shot.aim is not None:
                needed[shot.aim] = None
        self._photos = {one: self._photos[one] for one in needed if one in self._photos}
        self._made = {
            subject: person
            for subject, person in self._made.items()
            if all(photo in self._photos for photo, _ in subject.photos)
        }
        missing = [one for one in needed if one not in self._photos]
        self._photos |= dict(zip(missing, photo_pixels(missing, PHOTO_SIZE), strict=True))

    def person(self, subject: Subject) -> Person:
        """The person of a subject.

        Raises:
            FaceError: the pack finds no face in a photo.
        """
        bare = replace(subject, box=None)
        if bare not in self._made:
            pose = None if subject.pose is None else self._photos[subject.pose]
            parts = [(self._one(photo, subject, pose), weight) for photo, weight in subject.photos]
            self._made[bare] = parts[0][0] if len(parts) == 1 else self._pipe.mix(parts)
        made = self._made[bare]
        recipe = {**made.recipe, "box": None if subject.box is None else list(subject.box)}
        return replace(made, box=subject.box, recipe=recipe)

    def _one(self, photo: Photo, subject: Subject, pose: Any) -> Person:
        source = subject.source_face if subject.is_edited else None
        return self._pipe.person(
            self._photos[photo],
            face=subject.face,
            pose=pose,
            source_face=source,
            consent=MADE_UP if isinstance(photo, Content) else None,
        )

    def token_error(self, shot: Shot, person: Person) -> tuple[float, float] | None:
        """Squared error of edited face tokens, and of the photo's own, to those of the photo aimed at."""
        assert shot.aim is not None
        (subject,) = shot.subjects
        try:
            aim, own = (
                np.asarray(self.person(Subject(((photo, 1.0),))).members[0][0], np.float32)
                for photo in (shot.aim, subject.photos[0][0])
            )
        except FaceError:
            return None
        edited = np.asarray(person.members[0][0], np.float32)
        return float(((edited - aim) ** 2).sum()), float(((own - aim) ** 2).sum())


def read_picture(out: Path, shot: Shot) -> np.ndarray:
    """A drawn picture, uint8 [h w 3]."""
    return load_rgb(picture_file(out, shot))
