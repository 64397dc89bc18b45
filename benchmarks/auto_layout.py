"""Boxes that are found against boxes drawn by hand: are all people there, and is everybody who they should be?

    python benchmarks/auto_layout.py --scenes 24

Scenes of two and of three people from the mini suite (evaluation/mini_series.py): unseen people of the world, a
reference photo each, captions in the world's wording. Every scene is drawn twice with the same noise:

    by hand    boxes around the places where the world puts heads (`head_boxes`)
    auto       box="auto": a short pass of the prompt and seed, faces found, boxes around them

Faces of a picture, by the pack's detector, are counted from left to right:

    present    as many faces as people
    in order   present, and the judge finds every face nearer to its own person than to the others of the scene
    rank 1     present, and every face's own person is the nearest of 50

Prints the rows of docs/EVALUATION.md.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.evaluation.contents import Content, draw, portrait, words
from dynamicid_jax.evaluation.estimates import estimate, mean
from dynamicid_jax.evaluation.judging import GALLERY_SIZE, gallery_rows
from dynamicid_jax.evaluation.looks import JudgeLooker, Look
from dynamicid_jax.evaluation.metrics import rank
from dynamicid_jax.evaluation.mini_series import three, two
from dynamicid_jax.evaluation.run import Evaluation
from dynamicid_jax.evaluation.sampling import PHOTO_SIZE
from dynamicid_jax.evaluation.shots import GALLERY, Shot, block_of
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.pipeline import Output

WAYS = ("by hand", "auto")
MEASURES = ("present", "in order", "rank 1")


@dataclass(frozen=True)
class Scored:
    """One picture: its measures, and what it took."""

    people: int
    number: int
    way: str
    right: tuple[float, ...]
    how: str
    looks: int
    steps: int


def main() -> None:
    """Draws, judges, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=24, help="of two and of three people each")
    parser.add_argument("--model", default="mini", help="of the world")
    args = parser.parse_args()
    pipe = DynamicIDPipeline.from_pretrained(args.model)
    looker = JudgeLooker(Evaluation(args.model, Path(), "mini").opened)
    gallery = _gallery(looker, args.scenes)
    shots = [
        shot for number in range(args.scenes) for series in (two, three) for shot in series(number)
    ]
    begin = time.perf_counter()
    rows = [row for shot in track(shots, "scenes") for row in _both(pipe, looker, gallery, shot)]
    print(f"{len(rows)} pictures in {time.perf_counter() - begin:.0f} s")
    for people in (2, 3):
        _print([row for row in rows if row.people == people], people)


def _gallery(looker: JudgeLooker, scenes: int) -> np.ndarray:
    """Judged embeddings of everybody who may appear, by their number."""
    count = -(-scenes // GALLERY) * GALLERY
    pictures = draw([portrait(person, person) for person in range(count)], GALLERY_SIZE)
    return gallery_rows([looker(one.pixels) for one in pictures])


def _both(
    pipe: DynamicIDPipeline, looker: JudgeLooker, gallery: np.ndarray, shot: Shot
) -> list[Scored]:
    """The two pictures of a scene, scored."""
    (prompt,) = words([shot.shows])
    photos = [subject.photos[0][0] for subject in shot.subjects]
    people = [pipe.person(one.pixels) for one in draw(photos, PHOTO_SIZE)]
    boxes: dict[str, Sequence] = {
        "by hand": [subject.box for subject in shot.subjects],
        "auto": ["auto"] * len(people),
    }
    made = {way: _picture(pipe, prompt, people, boxes[way], shot.seed) for way in WAYS}
    return [_score(way, out, looker, gallery, shot) for way, out in made.items()]


def _picture(
    pipe: DynamicIDPipeline, prompt: str, people: Sequence[Person], boxes: Sequence, seed: int
) -> Output:
    if boxes[0] == "auto":
        people, layout = pipe.place(prompt, people, seed=seed)
        out = pipe(prompt, people, seed=layout.seed)
        out.metadata["layout"] = layout.to_json()
        return out
    placed = [person.placed(box) for person, box in zip(people, boxes, strict=True)]
    return pipe(prompt, placed, seed=seed)


def _score(way: str, out: Output, looker: JudgeLooker, gallery: np.ndarray, shot: Shot) -> Scored:
    layout = out.metadata.get("layout", {"how": "-", "looks": 0, "steps": 0})
    right = _right(looker(np.asarray(out.images[0])), gallery, shot.shows)
    steps = out.metadata["recipe"]["steps"] + layout["steps"]
    count = len(shot.shows.people)
    return Scored(count, shot.number, way, right, layout["how"], layout["looks"], steps)


def _right(look: Look, gallery: np.ndarray, shows: Content) -> tuple[float, ...]:
    """The measures of one picture, 0 or 1 each."""
    who = list(shows.people)
    if len(look) != len(who):
        return 0.0, 0.0, 0.0
    near = np.stack([face.embedding for face in look]) @ gallery[who].T
    block = block_of(who[0])
    known = gallery[block.start : block.stop]
    first = [
        rank(one.embedding, known, w - block.start) == 1 for one, w in zip(look, who, strict=True)
    ]
    return 1.0, float((near.argmax(1) == np.arange(len(who))).all()), float(all(first))


def _print(rows: Sequence[Scored], people: int) -> None:
    """Markdown rows of one number of people."""
    for place, measure in enumerate(MEASURES):
        values = {
            way: [(row.number, row.right[place]) for row in rows if row.way == way] for way in WAYS
        }
        apart = estimate(lambda hand, auto: auto - hand, values["by hand"], values["auto"])
        shares = " | ".join(f"{mean(values[way]).value:.3f}" for way in WAYS)
        print(
            f"| {people} people: {measure} | {shares} | {apart.value:+.3f} ({apart.low:+.3f} to {apart.high:+.3f}) |"
        )
    auto, hand = ([row for row in rows if row.way == way] for way in ("auto", "by hand"))
    found = sum(row.how == "faces" for row in auto)
    print(
        f"{people} people: boxes found in {found} of {len(auto)}, {np.mean([row.looks for row in auto]):.2f} looks; "
        f"steps {np.mean([row.steps for row in hand]):.1f} by hand, {np.mean([row.steps for row in auto]):.1f} auto"
    )


if __name__ == "__main__":
    main()
