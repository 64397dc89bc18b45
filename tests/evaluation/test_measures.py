"""Measures on pictures that are known: the drawn truth gives 1, somebody else's pictures chance, no faces 0."""

from dataclasses import replace

import numpy as np
import pytest
import truth_looks

from dynamicid_jax.evaluation import measures
from dynamicid_jax.evaluation.contents import FRONT, NEUTRAL, head_boxes
from dynamicid_jax.evaluation.evidence import Evidence, Seen, place_faces
from dynamicid_jax.evaluation.judging import measured
from dynamicid_jax.evaluation.looks import Face
from dynamicid_jax.evaluation.suite import read_suite

PEOPLE = 6
MINI = read_suite("mini")
PEOPLE_OF = MINI.cast(None)


@pytest.fixture(scope="module")
def colours():
    return truth_looks.colours()


@pytest.fixture(scope="module")
def shots():
    return MINI.shots(MINI.claims, range(PEOPLE), PEOPLE_OF)


@pytest.fixture(scope="module")
def perfect(shots, colours):
    return truth_looks.truth_evidence([shot for shot in shots if shot.has_truth], colours)


@pytest.fixture(scope="module")
def found(perfect):
    return estimates(measured(MINI.claims, perfect))


def estimates(found):
    return {name: one.estimate for name, one in found.items()}


def test_the_drawn_truth_is_right_in_everything(found):
    right = [
        name
        for name in found
        if name.endswith(
            ("right", "rank_1", "top_5", "found", "known", "count", "kept", "face_sim")
        )
        or name.startswith(("base_expression", "base_pose"))
    ]
    assert len(right) > 20
    assert {name: found[name].value for name in right} == pytest.approx(dict.fromkeys(right, 1.0))
    assert found["two_swapped"].value == 0
    assert found["gate_auc"].value == 1
    assert abs(found["apart_with_boxes"].value) < 0.1  # random directions
    assert found["imr_pose_over_words"].value == 0


def test_colours_of_the_drawn_truth_are_named(found):
    assert found["base_background"].value >= 0.95
    assert found["base_shirt"].value >= 0.95


def test_every_required_number_is_measured_on_one_side_or_the_other(found):
    generated_only = {
        name for name in MINI.requirements if name.startswith(("context", "mix_half"))
    }
    generated_only |= {"apart_without_boxes", "free_both_found", "imr_token_error"}
    assert set(MINI.requirements) - generated_only <= set(found)


def test_pictures_of_others_give_chance(shots, perfect):
    """Everybody's pictures handed to the next shot of the kind."""
    moved = []
    for kind in {shot.kind for shot in shots}:
        some = perfect.of(kind)
        sizes = {len(one.shot.shows.people) for one in some}
        for size in sizes:
            same = [one for one in some if len(one.shot.shows.people) == size]
            for one, other in zip(same, same[1:] + same[:1], strict=True):
                moved.append(replace(other, shot=one.shot))
    evidence = Evidence(moved, perfect.known)
    found = estimates(measured(MINI.claims, evidence))
    for name in ("one_rank_1", "two_both_right", "three_all_right", "mix_1_rank_1"):
        assert found[name].value == 0
    assert found["one_top_5"].value < 0.35  # chance 0.1
    assert found["base_expression"].value < 0.5  # chance 1 / 7
    assert found["base_background"].value < 0.5  # chance 1 / 10
    assert found["base_count"].value == 1


def test_no_face_is_wrong_everywhere(shots, perfect):
    blind = [
        replace(one, look=[], gates={})
        for kind in {s.kind for s in shots}
        for one in perfect.of(kind)
    ]
    evidence = Evidence(blind, perfect.known)
    claims = {name: claim for name, claim in MINI.claims.items() if name != "gate"}
    found = estimates(measured(claims, evidence))
    zero = [name for name in found if name.endswith(("right", "rank_1", "top_5", "found", "sim"))]
    assert {name: found[name].value for name in zero} == dict.fromkeys(zero, 0.0)
    assert found["base_count"].value == found["base_shirt"].value == 0
    assert found["apart_with_boxes"].value == 1  # the worst


def test_swapped_people_are_told(perfect):
    swapped = [
        replace(one, look=[replace(a, box=b.box), replace(b, box=a.box)])
        for one in perfect.of("two")
        for a, b in [one.look]
    ]
    found = estimates(measures.two(Evidence(swapped, perfect.known)))
    assert found["two_swapped"].value == 1
    assert found["two_both_right"].value == found["two_person_right"].value == 0


def test_a_neighbours_shirt_on_the_near_side_does_not_decide(colours):
    box, beside = np.array([0.1, 0.3, 0.4, 0.7]), np.array([0.55, 0.3, 0.85, 0.7])
    picture = np.full((64, 64, 3), 0.9 * colours.shirts[1, 0], np.uint8)  # blue, a little dark
    picture[:, 16:] = colours.shirts[0, 0]  # red, and purer
    assert colours.shirt(picture, box) == 0
    assert colours.shirt(picture, box, [beside]) == 1


def test_an_even_mix_is_as_alike_to_both(shots, colours):
    halves = [shot for shot in shots if shot.kind == "mix_half"]
    seen = []
    for shot in halves:
        first, second = (photo.people[0] for photo, _ in shot.subjects[0].photos)
        blend = truth_looks.identity(first) + truth_looks.identity(second)
        face = Face(np.array([0.2, 0.2, 0.8, 0.8], np.float32), blend, NEUTRAL, FRONT)
        seen.append(Seen(shot, None, [face]))
    found = estimates(measures.mix(Evidence(seen, truth_looks.known(colours))))
    assert found["mix_half_difference"].value == pytest.approx(0, abs=1e-6)
    assert found["mix_half_first"].value == pytest.approx(0.7, abs=0.1)
    only = [
        replace(one, look=[replace(one.look[0], embedding=truth_looks.identity(who))])
        for one in seen
        for who in [one.shot.subjects[0].photos[0][0].people[0]]
    ]
    alone = estimates(measures.mix(Evidence(only, truth_looks.known(colours))))
    assert alone["mix_half_difference"].value > 0.8


def test_context_is_measured_outside_the_faces(perfect, shots):
    """A change inside the face counts nothing; outside it is the PSNR of that change."""
    pairs = []
    for one in perfect.of("one"):
        without = next(s for s in shots if s.kind == "context" and s.number == one.shot.number)
        inside = one.picture.copy()
        x0, y0, x1, y1 = (one.look[0].box.clip(0, 1) * truth_looks.SIZE).astype(int)
        inside[y0:y1, x0:x1] = 0
        pairs += [one, Seen(without, inside, one.look)]
    found = estimates(measures.context(Evidence(pairs, perfect.known)))
    assert found["context_psnr"].value > 58
    off = [
        replace(one, picture=one.picture // 2) if one.shot.kind == "context" else one
        for one in pairs
    ]
    found = estimates(measures.context(Evidence(off, perfect.known)))
    assert found["context_psnr"].value < 20


def test_a_box_takes_the_largest_face_in_it():
    left, right = head_boxes(2)
    face = Face(np.array([0.1, 0.3, 0.4, 0.7], np.float32), truth_looks.identity(0), 0, 0)
    small = replace(face, box=np.array([0.1, 0.3, 0.2, 0.4], np.float32))
    assert place_faces([small, face], [left, right]) == [face, None]


def test_shots_depend_on_their_number_alone():
    few, many = (
        MINI.shots(MINI.claims, range(2), PEOPLE_OF),
        MINI.shots(MINI.claims, range(3), PEOPLE_OF),
    )
    assert set(few) < set(many)
    assert len(few) == 2 * 20
    assert len({shot.name for shot in many}) == len(many)


def test_edits_ask_for_something_else_than_the_photo(shots):
    for shot in shots:
        if shot.kind in ("imr_expression", "said_expression"):
            assert shot.shows.expressions != shot.subjects[0].photos[0][0].expressions
            assert shot.shows.poses == shot.subjects[0].photos[0][0].poses
        if shot.kind.startswith("imr_pose"):
            assert shot.shows.poses != shot.subjects[0].photos[0][0].poses
        if shot.kind.startswith("imr"):
            assert not shot.says_motion
        if shot.kind == "edits":
            assert shot.shows.expressions[0] != shot.shows.expressions[1]
