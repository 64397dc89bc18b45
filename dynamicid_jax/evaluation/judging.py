"""Phase 2: looks at a suite's pictures and at the drawn truth of the same requests, and takes the measures.

The truth goes the same way as the pictures (detector, judges, measures): what it reaches is the judges' ceiling.
What was seen is kept in DIR/looks.jsonl, so that a killed run goes on, and a second one looks at nothing again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.claims import Claim
from dynamicid_jax.evaluation.colours import fit_colours
from dynamicid_jax.evaluation.common import take
from dynamicid_jax.evaluation.contents import Content, draw, portrait
from dynamicid_jax.evaluation.estimates import Measured
from dynamicid_jax.evaluation.evidence import Embedding, Evidence, Known, Seen
from dynamicid_jax.evaluation.journal import Journal
from dynamicid_jax.evaluation.looks import KeptLooks, Look
from dynamicid_jax.evaluation.measures import MEASURES, Numbers, context_values
from dynamicid_jax.evaluation.photographs import Photo, Wish, photo_pixels
from dynamicid_jax.evaluation.runs import Run, read_run
from dynamicid_jax.evaluation.sampling import (
    PHOTO_SIZE,
    RECORDS,
    gates_file,
    picture_file,
    read_picture,
)
from dynamicid_jax.evaluation.shots import Shot, block_of

GALLERY_SIZE = 128  # pixels of the gallery's pictures
CHUNK = 64  # pictures in memory at once while they are looked at
WITHOUT_GATE = "without_gate"
LOOKS, CLIP = "looks.jsonl", "clip.jsonl"
Tell = Callable[[str, int, int], None]
Alike = Callable[[UInt8[np.ndarray, "h w 3"], str], float]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What judging found.

    Attributes:
        found: numbers by name, of the pictures.
        ceiling: the same of the drawn truth, where there is one.
        seen: all pictures.
        scores: by a shot's name; the lowest are failures.
    """

    found: Numbers
    ceiling: Numbers
    seen: list[Seen]
    scores: dict[str, float]


def judge(
    out: Path,
    shots: Sequence[Shot],
    claims: Mapping[str, Claim],
    looker: KeptLooks,
    *,
    alike: Alike | None = None,
    tell: Tell = lambda what, done, total: None,
) -> Verdict:
    """Judges the pictures of `out`.

    Args:
        out: where phase 1 drew them; pictures of the model without gate in `out`/without_gate.
        shots: the same as there.
        claims: whose measures are taken.
        looker: finds and judges faces.
        alike: the CLIP judge, where the suite names one.
        tell: is told what is looked at, how many are done, of how many.

    Raises:
        InputError: pictures are missing.
    """
    run = read_run(out)
    seen = look_at(out, shots, looker, lambda done, total: tell("pictures", done, total))
    truth = _truth(seen, run.size, looker, lambda done, total: tell("drawn truth", done, total))
    known = _known(run, looker, truth, alike, tell)
    pictures = Evidence(seen, known)
    found = measured(claims, pictures)
    ceiling = measured(claims, Evidence(truth, known), truth=True)
    if compares_context(claims) and (out / WITHOUT_GATE / RECORDS).is_file():
        found |= _without_gate(out / WITHOUT_GATE, shots, looker, pictures, tell)
    return Verdict(found, ceiling, seen, pictures.scores)


def measured(claims: Mapping[str, Claim], evidence: Evidence, truth: bool = False) -> Numbers:
    """All numbers of some claims; of the drawn `truth` those that it says something about."""
    found: Numbers = {}
    for claim in claims.values():
        fixed = [name for name in claim.measures if name in MEASURES]
        for name in fixed:
            found |= MEASURES[name](evidence)
        if len(fixed) < len(claim.measures):
            found |= take(claim, evidence, truth)
    return found


def _known(
    run: Run, looker: KeptLooks, truth: Sequence[Seen], alike: Alike | None, tell: Tell
) -> Known:
    """What measures may ask for besides the pictures."""
    drawn = {one.shot.name: one for one in truth}
    photo = _photos(looker)

    def targets(shot: Shot) -> list[Embedding | None]:
        if isinstance(shot.shows, Wish):
            return [None if one is None else photo(one) for one in shot.shows.targets]
        if shot.name not in drawn:
            return [None] * len(shot.shows.people)
        return [None if face is None else face.embedding for face in drawn[shot.name].faces]

    colours = cache(lambda: fit_colours(run.size))
    return Known(_gallery(looker, tell), colours, run.cell, photo, targets, alike)


def _photos(looker: KeptLooks) -> Callable[[Photo], Embedding | None]:
    """The largest face of a photo, once each."""

    @cache
    def of(photo: Photo) -> Embedding | None:
        (look,) = looker(photo_pixels([photo], PHOTO_SIZE))
        return max(look, key=lambda face: face.area).embedding if look else None

    return of


def look_at(
    out: Path, shots: Sequence[Shot], looker: KeptLooks, tell: Callable[[int, int], None]
) -> list[Seen]:
    """The drawn pictures with what the judges see in them.

    Raises:
        InputError: pictures are missing.
    """
    records = {one["name"]: one for one in Journal(out / RECORDS).read()}
    missing = [shot for shot in shots if not _there(out, shot, records)]
    if missing:
        raise InputError(
            f"{out}: {len(missing)} of {len(shots)} pictures are missing, {missing[0].name} among them; "
            "draw them first (without --only, or with --only sample)"
        )
    seen = []
    for shot in shots:
        record = records[shot.name]
        picture = None if "error" in record else read_picture(out, shot)
        look = [] if picture is None else looker([picture])[0]
        errors = record.get("token_error")
        seen.append(
            Seen(
                shot,
                picture,
                look,
                _gates(out, shot),
                tuple(errors) if errors else None,
                record["prompt"],
                record.get("seconds"),
                record.get("seconds_compiling"),
            )
        )
        tell(len(seen), len(shots))
    return seen


def _there(out: Path, shot: Shot, records: dict[str, Any]) -> bool:
    record = records.get(shot.name)
    return record is not None and ("error" in record or picture_file(out, shot).is_file())


def _gates(out: Path, shot: Shot) -> dict[str, np.ndarray]:
    file = gates_file(out, shot)
    if not shot.keep_gates or not file.is_file():
        return {}
    with np.load(file) as maps:
        return {name: maps[name].astype(np.float32) for name in maps.files}


def _truth(
    drawn: Sequence[Seen], size: int, looker: KeptLooks, tell: Callable[[int, int], None]
) -> list[Seen]:
    """What perfect pictures of the same shots and words would show, looked at in the same way."""
    known = [(one, one.shot.shows) for one in drawn if one.shot.has_truth]
    drawable = [(one, shows) for one, shows in known if isinstance(shows, Content)]
    seen: list[Seen] = []
    for start in range(0, len(drawable), CHUNK):
        some = [one for one, _ in drawable[start : start + CHUNK]]
        contents = [shows for _, shows in drawable[start : start + CHUNK]]
        pictures = [one.pixels for one in draw(contents, size)]
        rows = zip(some, pictures, looker(pictures), strict=True)
        seen += [Seen(one.shot, picture, look, prompt=one.prompt) for one, picture, look in rows]
        tell(len(seen), len(drawable))
    return seen


def _gallery(looker: KeptLooks, tell: Tell) -> Callable[[int], Float[np.ndarray, "50 e"]]:
    """Judged embeddings of the people of a block, once each."""

    @cache
    def of(start: int) -> Float[np.ndarray, "50 e"]:
        people = block_of(start)
        tell("gallery", start, start + len(people))
        pictures = draw([portrait(person, person) for person in people], GALLERY_SIZE)
        return gallery_rows(looker([one.pixels for one in pictures]))

    return of


def gallery_rows(looks: Iterable[Look]) -> Float[np.ndarray, "n e"]:
    """Embeddings of the largest faces; rows of NaN where no face is found."""
    faces = [max(look, key=lambda one: one.area, default=None) for look in looks]
    width = next((len(face.embedding) for face in faces if face is not None), 1)
    return np.stack([np.full(width, np.nan) if face is None else face.embedding for face in faces])


def _without_gate(
    out: Path, shots: Sequence[Shot], looker: KeptLooks, pictures: Evidence, tell: Tell
) -> Numbers:
    """The context pair of the model that was trained without gate, and the gain of the one with it."""
    pairs = context_shots(shots)
    seen = look_at(out, pairs, looker, lambda done, total: tell(WITHOUT_GATE, done, total))
    plain = context_values(Evidence(seen, pictures.known))
    own = context_values(pictures)
    return {
        "context_psnr_without_gate": Measured("mean", (plain,)),
        "context_gain": Measured("difference", (own, plain)),
    }


def compares_context(claims: Mapping[str, Claim]) -> bool:
    """Whether a model without gate has anything to add."""
    return any("context" in claim.measures for claim in claims.values())


def context_shots(shots: Sequence[Shot]) -> list[Shot]:
    """The pictures whose context is compared: those that a second model draws, too. Empty without the claim."""
    compared = any(shot.kind == "context" for shot in shots)
    return [shot for shot in shots if compared and shot.kind in ("one", "context")]
