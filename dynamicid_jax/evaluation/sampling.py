"""Phase 1: draws a suite's pictures in batches, and keeps what is done.

DIR/run.json               suite, model, settings; another of these needs another folder
DIR/pictures/KIND/N.png    with their recipes
DIR/gates/KIND/N.npz       gate maps, where a shot keeps them
DIR/pictures.jsonl         one line per picture, written after its files: a killed run goes on behind the last line
"""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.errors import FaceError, InputError, OutputError
from dynamicid_jax.evaluation.contents import Content, words
from dynamicid_jax.evaluation.journal import Journal
from dynamicid_jax.evaluation.photographs import Photo, Wish, photo_pixels
from dynamicid_jax.evaluation.shots import Shot, Subject
from dynamicid_jax.images import load_rgb
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.pipeline import DynamicIDPipeline, Output
from dynamicid_jax.inference.recipe import save_json, save_picture, write_atomically
from dynamicid_jax.inference.request import Request
from dynamicid_jax.provenance.consent import MADE_UP

PHOTO_SIZE = 256  # pixels: of reference and pose photos
RUN, RECORDS, PICTURES, GATES = "run.json", "pictures.jsonl", "pictures", "gates"
CHOSEN = ("identity_scale", "layout_strength", "gate")  # settings without a model's own
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """How pictures are sampled; None: the model's own.

    Attributes:
        steps: sampling steps.
        sampler: by name.
        guidance_scale: of classifier-free guidance.
        identity_scale: factor of every shot's own.
        layout_strength: in boxes.
        gate: False for a model trained without.
    """

    steps: int | None = None
    sampler: str | None = None
    guidance_scale: float | None = None
    identity_scale: float = 1.0
    layout_strength: float = 2.0
    gate: bool = True

    def ungated(self) -> "Settings":
        """The same for a model that was trained without gate."""
        return replace(self, gate=False)


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
        batch: pictures per compiled call.
        suite: what says which suite's pictures, and whose, these are.
        edits: False where shots that would be edited show the references' own motion: the same names, other pictures.
        tell: is told how many shots are done, of how many.

    Raises:
        InputError: the folder holds pictures of another model, of other settings or of another suite.
        OutputError: it cannot be written.
    """
    _claim_folder(pipe, out, settings, suite, edits)
    journal = Journal(out / RECORDS)
    done = {one["name"] for one in journal.read() if _is_whole(out, one)}
    todo = [shot for shot in shots if shot.name not in done]
    maker = _People(pipe)
    finished = len(shots) - len(todo)
    tell(finished, len(shots))
    shapes: set[Hashable] = set()
    for some in _batches(todo, batch):
        records = _draw_batch(pipe, maker, some, out, settings, batch)
        compiled = _shape(some[0]) not in shapes  # the first batch of a shape compiles a program
        shapes.add(_shape(some[0]))
        journal.write(*({**record, "compiled": compiled} for record in records))
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


def _claim_folder(
    pipe: DynamicIDPipeline, out: Path, settings: Settings, suite: str, edits: bool
) -> None:
    """Writes run.json, or compares with the one that is there."""
    request = Request.resolve(pipe.config, prompt="", **_call(settings))
    run = {
        "name": pipe.name,
        "suite": suite,
        "edits": edits,
        "model": pipe.fingerprint,
        "dtype": jnp.dtype(pipe.dtype).name,
        "size": [request.width, request.height],
        "steps": request.steps,
        "sampler": request.sampler,
        "settings": {
            "guidance_scale": request.guidance_scale,
            **{name: getattr(settings, name) for name in CHOSEN},
        },
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    file = out / RUN
    if not file.is_file():
        save_json(run, file)
        return
    there = read_json(file)
    apart = [name for name in run if name != "name" and there.get(name) != run[name]]
    if apart:
        raise InputError(
            f"{out}: holds pictures of another run ({', '.join(apart)} differ, see {RUN}); choose another --out"
        )


def _is_whole(out: Path, record: dict[str, Any]) -> bool:
    """Whether a line of the records stands for a picture that is there, or that cannot be drawn."""
    return "error" in record or (out / PICTURES / f"{record['name']}.png").is_file()


def _call(settings: Settings) -> dict[str, Any]:
    """The settings that `Request` knows, without the scales that shots change."""
    names = ("steps", "sampler", "guidance_scale", "layout_strength", "gate")
    return {name: getattr(settings, name) for name in names}


def _batches(shots: Sequence[Shot], size: int) -> Iterator[list[Shot]]:
    """Shots of one shape, at most `size` together, in their order."""
    kinds: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        kinds.setdefault(_shape(shot), []).append(shot)
    for some in kinds.values():
        yield from (some[start : start + size] for start in range(0, len(some), size))


def _shape(shot: Shot) -> Hashable:
    """What shots of one program have in common."""
    members = sum(len(subject.photos) for subject in shot.subjects)
    return len(shot.subjects), members, any(subject.box is not None for subject in shot.subjects)


def _draw_batch(
    pipe: DynamicIDPipeline,
    maker: "_People",
    shots: list[Shot],
    out: Path,
    settings: Settings,
    rows: int,
) -> list[dict[str, Any]]:
    """Draws and saves one batch; returns its records."""
    begin = time.perf_counter()
    maker.prepare(shots)
    prompts = _prompts(shots)
    records: list[dict[str, Any]] = []
    calls, drawn = [], []
    for shot, prompt in zip(shots, prompts, strict=True):
        try:
            people = [maker.person(subject) for subject in shot.subjects]
        except FaceError as error:
            records.append({"name": shot.name, "prompt": prompt, "error": str(error)})
            continue
        call = {**_call(settings), "prompt": prompt, "people": people, "seed": shot.seed}
        call["identity_scale"] = settings.identity_scale * shot.identity_scale
        if shot.layout_strength is not None:
            call["layout_strength"] = shot.layout_strength
        calls.append(call)
        drawn.append((shot, prompt, people))
    outputs = pipe.many(calls, rows) if calls else []
    seconds = round((time.perf_counter() - begin) / max(len(outputs), 1), 4)
    for (shot, prompt, people), output in zip(drawn, outputs, strict=True):
        record = {"name": shot.name, "prompt": prompt, "seed": shot.seed, "seconds": seconds}
        if shot.aim is not None:
            record["token_error"] = maker.token_error(shot, people[0])
        _save(out, shot, output)
        records.append(record)
    return records


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
