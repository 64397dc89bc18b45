"""The measures of the mini suite: evidence in, named numbers out. A face that is not found counts as wrong.

Each function asks for the kinds it needs (mini_series.py) and gives nothing for kinds that are not there, so that the
same functions measure generated pictures and the drawn truth.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dynamicid_jax.evaluation.colours import FaceBox, outside
from dynamicid_jax.evaluation.contents import Content
from dynamicid_jax.evaluation.estimates import Measured, Values
from dynamicid_jax.evaluation.evidence import Evidence, Seen
from dynamicid_jax.evaluation.looks import Face
from dynamicid_jax.evaluation.metrics import LARGEST_PSNR, face_sim, gate_auc, psnr

Numbers = dict[str, Measured]
Measure = Callable[[Evidence], Numbers]
INNER_LAYERS = ("mid", "up")  # the gate maps that the claim is about, by the layer's first word


def base(evidence: Evidence) -> Numbers:
    """Background, shirts, number of people; expression and pose, with one person and with several."""
    seen = evidence.of("base")
    alone = [one for one in seen if len(one.shot.shows.people) == 1]
    several = [one for one in seen if len(one.shot.shows.people) > 1]
    found: Numbers = {}
    for name, right in (
        ("background", _background(evidence)),
        ("shirt", _shirts(evidence)),
        ("count", lambda one: [float(len(one.look) == len(one.shot.shows.people))]),
    ):
        found |= _mean(f"base_{name}", _noted(evidence, seen, right))
    for name, motion_right in (("expression", _expressions), ("pose", _poses)):
        found |= _mean(f"base_{name}", _values(alone, motion_right))
        found |= _mean(f"base_{name}_several", _values(several, motion_right))
    return found


def one(evidence: Evidence) -> Numbers:
    """Who is seen, among 50 people."""
    seen = evidence.of("one")

    def within(place: int) -> Callable[[Seen], list[float]]:
        return lambda one: [float(evidence.rank(one.face, _who(one)) <= place)]

    found = _mean("one_rank_1", _noted(evidence, seen, within(1)))
    found |= _mean("one_top_5", _noted(evidence, seen, within(5)))
    found |= _mean(
        "one_face_sim", _values(seen, lambda one: [evidence.similarity(one.face, _who(one))])
    )
    return found | _mean("one_found", _values(seen, lambda one: [float(bool(one.look))]))


def two(evidence: Evidence) -> Numbers:
    """Two people in their boxes: both the nearest of 50, or each nearest to the other one."""
    seen = evidence.of("two")

    def swapped(one: Seen) -> list[float]:
        first, second = one.shot.shows.people
        pairs = zip(one.placed, (second, first), strict=True)
        return [float(all(evidence.rank(face, who) == 1 for face, who in pairs))]

    found = _mean("two_both_right", _noted(evidence, seen, _all_right(evidence)))
    found |= _mean("two_swapped", _values(seen, swapped))
    found |= _mean("two_person_right", _values(seen, lambda one: _each_right(evidence, one)))
    return found | _mean("apart_with_boxes", _values(seen, lambda one: [_between(one, 1.0)]))


def three(evidence: Evidence) -> Numbers:
    """Three people in their boxes."""
    seen = evidence.of("three")
    found = _mean("three_all_right", _noted(evidence, seen, _all_right(evidence)))
    return found | _mean(
        "three_person_right", _values(seen, lambda one: _each_right(evidence, one))
    )


def free(evidence: Evidence) -> Numbers:
    """How alike two people become without boxes."""
    seen = evidence.of("free")
    found = _mean("apart_without_boxes", _noted(evidence, seen, lambda one: [_between(one, 0.0)]))
    faces = _values(seen, lambda one: [float(all(one.placed))])
    return found | _mean("free_both_found", faces)


def gate(evidence: Evidence) -> Numbers:
    """AUC of every layer's gate map, and the mean over the middle and up blocks."""
    seen = evidence.of("one")
    found = _mean("gate_auc", gate_values(seen))
    for name in sorted({name for one in seen for name in one.gates}):
        rows = [one for one in seen if name in one.gates or not one.look]
        found |= _mean(f"gate_auc_{name}", [(one.shot.number, _auc(one, name)) for one in rows])
    return found


def gate_values(seen: Sequence[Seen]) -> Values:
    """The mean AUC over the middle and up blocks of every picture with gate maps; 0 where no face is found."""
    inner = {name for one in seen for name in one.gates if name.startswith(INNER_LAYERS)}
    layers = sorted(inner)  # sums in one order, that the same maps give the same number
    means = []
    for one in seen:
        if layers and (one.gates or not one.look):
            values = np.array([_auc(one, name) for name in layers])
            if np.isfinite(values).any():
                means.append((one.shot.number, float(np.nanmean(values))))
    return means


def _auc(one: Seen, name: str) -> float:
    return gate_auc(one.gates[name], one.face.box) if one.face is not None else 0.0


def context(evidence: Evidence) -> Numbers:
    """Change outside the faces when the face branch is switched on, in dB of PSNR."""
    return _mean("context_psnr", context_values(evidence))


def context_values(evidence: Evidence) -> Values:
    """PSNR of each pair of `one` and `context` outside the faces of both; 0 where the person is not found."""
    with_face = {one.shot.number: one for one in evidence.of("one")}
    values = []
    for without in evidence.of("context"):
        one = with_face.get(without.shot.number)
        value = 0.0
        if one is not None and one.look and one.picture is not None and without.picture is not None:
            boxes = [face.box for face in (*one.look, *without.look)]
            where = outside(boxes, one.picture.shape[:2])
            value = psnr(one.picture, without.picture, where)
            evidence.note(without, value / LARGEST_PSNR)
        values.append((without.shot.number, value))
    return values


def imr(evidence: Evidence) -> Numbers:
    """Edited expression and pose, alone and asked in the prompt too, against the prompt alone; who is seen still."""
    found: Numbers = {}
    right = {}
    for kind, measure in (
        ("imr_expression", _expressions),
        ("imr_pose", _poses),
        ("imr_pose_words", _poses),
        ("said_expression", _expressions),
        ("said_pose", _poses),
        ("both_expression", _expressions),
        ("both_pose", _poses),
    ):
        right[kind] = _noted(evidence, evidence.of(kind), measure)
        found |= _mean(f"{kind}_right", right[kind])
    for edit, said in (
        ("imr_expression", "said_expression"),
        ("imr_pose", "said_pose"),
        ("imr_pose_words", "said_pose"),
        ("both_expression", "said_expression"),
        ("both_pose", "said_pose"),
    ):
        found |= _of(f"{edit}_over_words", "difference", right[edit], right[said])
    known = {
        kind: _values(evidence.of(kind), _right(evidence))
        for kind in ("imr_plain", "imr_expression", "imr_pose")
    }
    found |= _mean("imr_plain_rank_1", known["imr_plain"])
    edited = [*known["imr_expression"], *known["imr_pose"]]
    found |= _mean("imr_edited_rank_1", edited)
    found |= _of("imr_rank_1_kept", "ratio", edited, known["imr_plain"])
    return found | _token_error(evidence)


def _token_error(evidence: Evidence) -> Numbers:
    """|edited - target|^2 / |source - target|^2 of the face tokens, sums over people."""
    pairs = [
        (one.shot.number, *one.token_error)
        for kind in ("imr_expression", "imr_pose", "imr_pose_words")
        for one in evidence.of(kind)
        if one.token_error is not None
    ]
    edited = [(who, error) for who, error, _ in pairs]
    copied = [(who, error) for who, _, error in pairs]
    return _of("imr_token_error", "ratio", edited, copied)


def edits(evidence: Evidence) -> Numbers:
    """Two people with an expression of their own each, which the prompt does not say, or does."""
    found: Numbers = {}
    for kind in ("edits", "edits_said"):
        seen = evidence.of(kind)
        both = _noted(evidence, seen, lambda one: [min(_expressions(one))])
        found |= _mean(f"{kind}_both_right", both)
        found |= _mean(f"{kind}_person_right", _values(seen, _expressions))
        found |= _mean(f"{kind}_both_known", _values(seen, _all_right(evidence)))
    return found


def mix(evidence: Evidence) -> Numbers:
    """One person mixed of two: alike to both at 1/2, one of them at 0 and 1."""
    found: Numbers = {}
    for kind in ("mix_1", "mix_0"):
        found |= _mean(f"{kind}_rank_1", _noted(evidence, evidence.of(kind), _right(evidence)))
    halves = evidence.of("mix_half")
    pairs = [(one, *_halves_alike(evidence, one)) for one in halves]
    first_sim = [(one.shot.number, alike) for one, alike, _ in pairs]
    second_sim = [(one.shot.number, alike) for one, _, alike in pairs]
    for one, alike, other in pairs:
        evidence.note(one, min(alike, other))
    found |= _mean("mix_half_first", first_sim) | _mean("mix_half_second", second_sim)
    found |= _of("mix_half_difference", "distance", first_sim, second_sim)
    spread = [(one.shot.number, abs(alike - other)) for one, alike, other in pairs]
    return found | _mean("mix_half_spread", spread)


def _halves_alike(evidence: Evidence, one: Seen) -> tuple[float, float]:
    """FaceSim to the two people of a mix."""
    photos = [photo for photo, _ in one.shot.subjects[0].photos]
    people = [photo.people[0] for photo in photos if isinstance(photo, Content)]
    return evidence.similarity(one.face, people[0]), evidence.similarity(one.face, people[1])


def _who(one: Seen) -> int:
    return one.shot.shows.people[0]


def _right(evidence: Evidence) -> Callable[[Seen], list[float]]:
    return lambda one: [float(evidence.rank(one.face, _who(one)) == 1)]


def _each_right(evidence: Evidence, one: Seen) -> list[float]:
    pairs = zip(one.placed, one.shot.shows.people, strict=True)
    return [float(evidence.rank(face, who) == 1) for face, who in pairs]


def _all_right(evidence: Evidence) -> Callable[[Seen], list[float]]:
    return lambda one: [min(_each_right(evidence, one))]


def _between(one: Seen, missing: float) -> float:
    """FaceSim of two people's faces in one picture; a missing face counts as the worst, `missing`."""
    first, second = one.placed
    if first is None or second is None:
        return missing
    return face_sim(first.embedding, second.embedding)


def _expressions(one: Seen) -> list[float]:
    return [float(right) for right in one.expressions_right(one.faces) if right is not None]


def _poses(one: Seen) -> list[float]:
    return [float(right) for right in one.poses_right(one.faces) if right is not None]


def _background(evidence: Evidence) -> Callable[[Seen], list[float]]:
    def right(one: Seen) -> list[float]:
        if one.picture is None:
            return [0.0]
        named = evidence.colours.background(one.picture, [face.box for face in one.look])
        return [float(named == one.content.background)]

    return right


def _shirts(evidence: Evidence) -> Callable[[Seen], list[float]]:
    def beside(one: Seen, face: Face) -> list[FaceBox]:
        return [other.box for other in one.look if other is not face]

    def right(one: Seen) -> list[float]:
        return [
            float(
                face is not None
                and one.picture is not None
                and kind == evidence.colours.shirt(one.picture, face.box, beside(one, face))
            )
            for face, kind in zip(one.faces, one.content.shirts, strict=True)
        ]

    return right


def _values(seen: Iterable[Seen], function: Callable[[Seen], list[float]]) -> Values:
    """A function's values of every picture, with the picture's number."""
    return [(one.shot.number, value) for one in seen for value in function(one)]


def _noted(
    evidence: Evidence, seen: Iterable[Seen], function: Callable[[Seen], list[float]]
) -> Values:
    """The same; each picture's lowest value is its score on the sheets."""
    values = []
    for one in seen:
        own = function(one)
        evidence.note(one, min(own))
        values += [(one.shot.number, value) for value in own]
    return values


def _mean(name: str, values: Values) -> Numbers:
    return {name: Measured("mean", (values,))} if values else {}


def _of(name: str, function: str, *samples: Values) -> Numbers:
    return {name: Measured(function, samples)} if all(samples) else {}


MEASURES: dict[str, Measure] = {
    "base": base,
    "one": one,
    "two": two,
    "three": three,
    "free": free,
    "gate": gate,
    "context": context,
    "imr": imr,
    "edits": edits,
    "mix": mix,
}
NEEDED: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in MEASURES},
    "gate": ("one",),
    "context": ("one", "context"),
}
"""The series of mini_series.py that each is about."""
