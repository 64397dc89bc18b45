"""How good a face pack and its judges are on made-up people they were not trained on, through insightface itself.

    recall          faces of scenes of 1 to 3 people that a detection covers with an overlap (IoU) of at least 0.5
    false faces     detections that cover no face so, of all detections
    rank-1          probes (any expression and pose) whose most similar gallery face (neutral, front) is the same person
    landmarks       mean distance to the truth, in distances between the eyes
    expression      share of probes whose class the judge names; likewise the turn (five poses, up, down)

A probe whose face is not found counts as wrong everywhere; landmarks are measured on those found. Intervals are
Wilson's, 95 %.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dynamicid_jax.evaluation.judges import Judges
from dynamicid_jax.evaluation.suite import judges_named
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.world.faces import turn
from dynamicid_jax.world.motion import EXPRESSIONS, POSES
from dynamicid_jax.world.sources import Source

OVERLAP = 0.5
BATCH = 16  # pictures drawn at once
GALLERY_CELL = 5 * EXPRESSIONS.index("neutral") + POSES.index("front")
TURNS = (*POSES, "up", "down")


@dataclass(frozen=True)
class Share:
    """A share of counts, with Wilson's 95 % interval."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """Hits / total; NaN of nothing."""
        return self.hits / self.total if self.total else math.nan

    def words(self) -> tuple[str, str]:
        """Share and interval for a table; empty of nothing."""
        if not self.total:
            return "", ""
        return f"{self.value:.1%}", "{:.1%} to {:.1%}".format(*self.interval)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the interval."""
        if not self.total:
            return math.nan, math.nan
        z, n, p = 1.96, self.total, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return middle - half, middle + half


@dataclass(frozen=True)
class PackReport:
    """What `measure_pack` found; see the top of the file."""

    recall: Share
    false_faces: Share
    rank_1: Share
    judge_rank_1: Share
    expression: Share
    pose: Share
    turn: Share
    landmarks: float
    landmark_faces: int

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, measured, interval), for tables."""
        shares = {
            "faces found": self.recall,
            "false faces": self.false_faces,
            "rank-1, the pack's recogniser": self.rank_1,
            "rank-1, the judge": self.judge_rank_1,
            "expression of seven": self.expression,
            "pose of five": self.pose,
            "pose of five, up, down": self.turn,
        }
        rows = [(f"{name} ({one.total})", *one.words()) for name, one in shares.items()]
        error = f"{self.landmarks:.2%} of the eye distance"
        return [*rows, (f"landmarks ({self.landmark_faces})", error, "")]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: {"value": one.value, "total": one.total, "interval": one.interval}
            if isinstance(one, Share)
            else one
            for name, one in vars(self).items()
        }


def open_pack(folder: Path) -> Judges:
    """A pack with the judges in its judges/, whatever their hashes.

    Raises:
        MissingPartError, InputError, WeightsError: a network is missing, of another kind, or damaged.
    """
    return Judges(judges_named("made_up").unpinned(), folder)


def measure_pack(
    judges: Judges,
    *,
    people: int = 200,
    probes: int = 4,
    scenes: int = 300,
    size: int = 128,
    seed: int = 0,
    split: str = "eval",
    say: Callable[[str], None] = print,
) -> PackReport:
    """Measures a pack and the judges beside it.

    Args:
        judges: with their pack.
        people: in the gallery.
        probes: pictures of each of them.
        scenes: pictures for the detector.
        size: of the pictures, in pixels.
        seed: which people and scenes.
        split: whose people (world/factors.py).
        say: is told what goes on.
    """
    pack = judges.pack
    first = seed * 10_000
    say(f"{scenes} scenes of 1 to 3 people, {size} px")
    found = _detection(pack, Source("world/scenes", split, 4096, size=size, first=first), scenes)
    say(f"{people} people, {probes} pictures of each")
    grid = Source("world/variface", split, people, size=size, first=first)
    gallery = [grid.number(person, GALLERY_CELL) for person in range(people)]
    known = [_look(pack, judges, *one) for one in _pictures(grid, gallery)]
    portraits = Source("world/portraits", split, people, people * probes, size, first=first)
    seen = [_look(pack, judges, *one) for one in _pictures(portraits, range(people * probes))]
    persons = [number % people for number in range(people * probes)]
    level = [one for one in seen if one.said[1] < len(POSES)]
    errors = [one.landmarks for one in seen if one.landmarks is not None]
    return PackReport(
        **found,
        rank_1=_rank_1([one.own for one in known], [one.own for one in seen], persons),
        judge_rank_1=_rank_1([one.judged for one in known], [one.judged for one in seen], persons),
        expression=Share(sum(one.right(0) for one in seen), len(seen)),
        pose=Share(sum(one.right(1) for one in level), len(level)),
        turn=Share(sum(one.right(1) for one in seen), len(seen)),
        landmarks=float(np.mean(errors)) if errors else math.nan,
        landmark_faces=len(errors),
    )


@dataclass(frozen=True)
class _Seen:
    """One picture of one person: what is true, and what was read."""

    said: tuple[int, int]  # expression, turn
    read: tuple[int, int] | None = None
    own: Any = None  # embeddings
    judged: Any = None
    landmarks: float | None = None

    def right(self, which: int) -> bool:
        return self.read is not None and self.read[which] == self.said[which]


def _look(pack: FacePack, judges: Judges, picture: np.ndarray, what: Any) -> _Seen:
    size = picture.shape[0]
    seen = _Seen((int(what["expression"]), int(what["turn"])))
    detections = pack.detect(picture)
    best = max(detections, key=lambda one: overlap(one.box, what["box"][0] * size), default=None)
    if best is None:
        return seen
    record = pack.record(picture, best)
    apart = np.linalg.norm(what["points"][0, 0] - what["points"][0, 1]) * size
    error = None
    if record.landmarks106 is not None:
        truth = (
            what["landmarks"][0] * size - 0.5
        )  # insightface counts from the first pixel's middle
        off = np.linalg.norm(record.landmarks106 - truth, axis=-1)
        error = float(off.mean() / apart)
    return replace(
        seen,
        read=judges.motion(picture, best),
        own=record.embedding,
        judged=judges.embedding(picture, best),
        landmarks=error,
    )


def _detection(pack: FacePack, source: Source, count: int) -> dict[str, Share]:
    """Recall and false faces over a source's first pictures."""
    hits = faces = wrong = given = 0
    for picture, what in _pictures(source, range(count)):
        truth = [
            box * picture.shape[0]
            for box, here in zip(what["box"], what["present"], strict=True)
            if here
        ]
        pairs = matched(truth, pack.detect(picture))
        hits, faces = hits + len(pairs[0]), faces + len(truth)
        wrong, given = wrong + pairs[1], given + pairs[2]
    return {"recall": Share(hits, faces), "false_faces": Share(wrong, given)}


def matched(
    truth: list[Any], detections: list[Detection]
) -> tuple[list[tuple[int, int]], int, int]:
    """(face, detection) pairs, best overlap first; detections that cover no face; detections."""
    overlaps = np.array([[overlap(box, one.box) for one in detections] for box in truth])
    pairs: list[tuple[int, int]] = []
    while overlaps.size and overlaps.max() >= OVERLAP:
        face, one = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((int(face), int(one)))
        overlaps[face, :], overlaps[:, one] = -1, -1
    return pairs, len(detections) - len(pairs), len(detections)


def overlap(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(shared / (areas - shared)) if areas > shared else 0.0


def _rank_1(gallery: list[Any], probes: list[Any], persons: list[int]) -> Share:
    """Probes whose nearest gallery face is the same person; faces that were not found match nobody."""
    width = next((len(one) for one in (*gallery, *probes) if one is not None), 1)
    known = np.stack([np.full(width, np.nan) if one is None else one for one in gallery])
    hits = 0
    for probe, person in zip(probes, persons, strict=True):
        if probe is not None:
            alike = np.nan_to_num(known @ probe, nan=-2.0)
            hits += int(alike.argmax()) == person
    return Share(hits, len(probes))


def _pictures(source: Source, numbers: Any) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Pictures of a source with their truth, drawn in batches of one size."""
    numbers = np.asarray(list(numbers), np.int32)
    for start in range(0, len(numbers), BATCH):
        some = np.resize(numbers[start : start + BATCH], BATCH)
        made = jax.tree.map(np.asarray, _drawn(source, jnp.asarray(some)))
        for row in range(min(BATCH, len(numbers) - start)):
            one = {name: value[row] for name, value in made.items()}
            yield one.pop("pixels"), one


@partial(jax.jit, static_argnums=0)
def _drawn(source: Source, index: jax.Array) -> dict[str, jax.Array]:
    made = source.batch(index)
    found, move = made["truth"], made["scene"].move
    return {
        "pixels": made["pixels"],
        "box": found.box,
        "points": found.points,
        "landmarks": found.landmarks,
        "present": found.present,
        "expression": move.expression[:, 0],
        "turn": turn(move)[:, 0],
    }
