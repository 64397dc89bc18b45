"""Metrics that any suite may take of any kind of pictures; docs/EVALUATION.md defines each.

A metric gives values (person, value) of one kind. A person whose face is not found counts as the metric's worst.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import UInt8

from dynamicid_jax.evaluation.claims import Claim, Requirement
from dynamicid_jax.evaluation.colours import outside
from dynamicid_jax.evaluation.estimates import Measured, Values
from dynamicid_jax.evaluation.evidence import Evidence
from dynamicid_jax.evaluation.measures import Numbers, gate_values
from dynamicid_jax.evaluation.metrics import (
    copy_paste,
    face_sim,
    identity_margin,
    psnr,
    seam,
    ssim,
)
from dynamicid_jax.evaluation.photographs import Shown
from dynamicid_jax.evaluation.series import ALONE
from dynamicid_jax.evaluation.shots import Subject
from dynamicid_jax.world.motion import EXPRESSIONS, POSES


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        title: for tables.
        values: of all pictures of a kind.
        better: "higher" or "lower".
        chance: what guessing gives.
        has_ceiling: whether the drawn truth says what perfect pictures would get.
    """

    title: str
    values: Callable[[Evidence, str], Values]
    better: str = "higher"
    chance: float | None = None
    has_ceiling: bool = True


def _face_sim(evidence: Evidence, kind: str) -> Values:
    values = []
    for one in evidence.of(kind):
        own = [
            0.0 if face is None or known is None else face_sim(face.embedding, known)
            for face, known in zip(evidence.matched(one), evidence.references(one), strict=True)
        ]
        evidence.note(one, min(own))
        values += [(one.shot.number, value) for value in own]
    return values


def _found(evidence: Evidence, kind: str) -> Values:
    return [
        (one.shot.number, float(face is not None))
        for one in evidence.of(kind)
        for face in evidence.matched(one)
    ]


def _right(which: str) -> Callable[[Evidence, str], Values]:
    def values(evidence: Evidence, kind: str) -> Values:
        found = []
        for one in evidence.of(kind):
            asked = one.expressions_right if which == "expression" else one.poses_right
            own = [float(right) for right in asked(evidence.matched(one)) if right is not None]
            if own:
                evidence.note(one, min(own))
            found += [(one.shot.number, value) for value in own]
        return found

    return values


def _copy_paste(evidence: Evidence, kind: str) -> Values:
    """A face that is not found counts as a copy: 1."""
    values = []
    for one in evidence.of(kind):
        people = zip(
            evidence.matched(one),
            evidence.references(one),
            evidence.known.targets(one.shot),
            strict=True,
        )
        for face, reference, target in people:
            if reference is None or target is None:
                continue
            value = 1.0
            if face is not None:
                own, other = (face_sim(face.embedding, photo) for photo in (reference, target))
                value = copy_paste(own, other, face_sim(reference, target))
            values.append((one.shot.number, value))
    return values


def _confusion(evidence: Evidence, kind: str) -> Values:
    return [
        (one.shot.number, identity_margin(row))
        for one in evidence.of(kind)
        if len(one.shot.subjects) > 1
        for row in evidence.similarities(one)
    ]


def _count_error(evidence: Evidence, kind: str) -> Values:
    return [
        (one.shot.number, float(abs(len(one.look) - len(one.shot.shows.people))))
        for one in evidence.of(kind)
    ]


def _background(which: Callable[..., float]) -> Callable[[Evidence, str], Values]:
    """Against the same prompt and noise without people, outside the faces of both; a missing face: 0."""

    def values(evidence: Evidence, kind: str) -> Values:
        alone = {(two.shot.number, two.shot.variant): two for two in evidence.of(kind + ALONE)}
        found = []
        for one in evidence.of(kind):
            two = alone.get((one.shot.number, one.shot.variant))
            if two is None:
                continue
            value = 0.0
            if one.look and one.picture is not None and two.picture is not None:
                boxes = [face.box for face in (*one.look, *two.look)]
                value = which(one.picture, two.picture, outside(boxes, one.picture.shape[:2]))
            found.append((one.shot.number, value))
        return found

    return values


def _seam(evidence: Evidence, kind: str) -> Values:
    return [
        (one.shot.number, seam(one.picture, subject.box, evidence.known.cell))
        for one in evidence.of(kind)
        for subject in one.shot.subjects
        if one.picture is not None and subject.box is not None
    ]


def _diversity(evidence: Evidence, kind: str) -> Values:
    """1 - SSIM over pairs of pictures that differ in their seed alone."""
    groups: dict[tuple[int, Shown, tuple[Subject, ...]], list[UInt8[np.ndarray, "h w 3"]]] = {}
    for one in evidence.of(kind):
        if one.picture is not None:
            key = one.shot.number, one.shot.shows, one.shot.subjects
            groups.setdefault(key, []).append(one.picture)
    return [
        (number, 1 - ssim(one, two, np.ones(one.shape[:2], bool)))
        for (number, _, _), some in groups.items()
        for one, two in combinations(some, 2)
    ]


def _clip_t(evidence: Evidence, kind: str) -> Values:
    alike = evidence.known.alike
    if alike is None:
        return []
    return [
        (one.shot.number, 0.0 if one.picture is None else alike(one.picture, one.prompt))
        for one in evidence.of(kind)
    ]


def _seconds(compiling: bool) -> Callable[[Evidence, str], Values]:
    def values(evidence: Evidence, kind: str) -> Values:
        noted = [
            (one.shot.number, one.seconds_compiling if compiling else one.seconds)
            for one in evidence.of(kind)
        ]
        return [(who, seconds) for who, seconds in noted if seconds is not None]

    return values


METRICS: dict[str, Metric] = {
    "face_sim": Metric("FaceSim", _face_sim),
    "found": Metric("faces found", _found),
    "clip_t": Metric("CLIP-T", _clip_t),
    "expr": Metric("Expr: asked expression", _right("expression"), chance=1 / len(EXPRESSIONS)),
    "pose": Metric("Pose: asked pose", _right("pose"), chance=1 / len(POSES)),
    "copy_paste": Metric("copy-paste", _copy_paste, "lower"),
    "identity_confusion": Metric("identity confusion, (top1 - top2) / top1", _confusion),
    "count_error": Metric("faces too many or too few", _count_error, "lower"),
    "background_psnr": Metric("background kept, PSNR (dB)", _background(psnr)),
    "background_ssim": Metric("background kept, SSIM", _background(ssim)),
    "seam": Metric("seam at the boxes' edges, 1 is none", _seam, "lower"),
    "diversity": Metric("diversity over seeds, 1 - SSIM", _diversity, has_ceiling=False),
    "gate_auc": Metric(
        "gate AUC, middle and up blocks",
        lambda evidence, kind: gate_values(evidence.of(kind)),
        chance=0.5,
    ),
    "seconds": Metric("seconds per picture", _seconds(False), "lower"),
    "seconds_compiling": Metric(
        "seconds per picture, references and compiling included", _seconds(True), "lower"
    ),
}


def take(claim: Claim, evidence: Evidence, truth: bool = False) -> Numbers:
    """A claim's metrics of its kinds, as KIND_METRIC; over another kind, KIND_METRIC_over_OTHER.

    Args:
        claim: what to take.
        evidence: of the pictures.
        truth: whether these are the drawn truth, of which only some metrics say something.
    """
    found: Numbers = {}
    own = [name for name in claim.measures if name in METRICS]
    names = [name for name in own if METRICS[name].has_ceiling or not truth]
    for kind in claim.pictures:
        for name in names:
            values = METRICS[name].values(evidence, kind)
            if not claim.over:
                found |= {f"{kind}_{name}": Measured("mean", (values,))} if values else {}
                continue
            other = METRICS[name].values(evidence, claim.over)
            if values and other:
                measured = Measured("difference", (values, other))
                found[f"{kind}_{name}_over_{claim.over}"] = measured
    return found


def lines(claim: Claim) -> dict[str, Requirement]:
    """The table's lines of such a claim."""
    rows = {}
    for kind in claim.pictures:
        for name in (name for name in claim.measures if name in METRICS):
            metric, ending = METRICS[name], f"_over_{claim.over}" if claim.over else ""
            words = f"{kind.replace('_', ' ')}: {metric.title}" + (
                f", less that of {claim.over.replace('_', ' ')}" if claim.over else ""
            )
            chance = None if claim.over else metric.chance
            rows[f"{kind}_{name}{ending}"] = Requirement(words, better=metric.better, chance=chance)
    return rows
