"""Metrics of any suite, on pictures that are known: the drawn truth is right, no faces count as the worst."""

from dataclasses import replace

import numpy as np
import pytest
import truth_looks

from dynamicid_jax.evaluation.common import METRICS
from dynamicid_jax.evaluation.evidence import Evidence, Seen
from dynamicid_jax.evaluation.judging import measured
from dynamicid_jax.evaluation.series import ALONE
from dynamicid_jax.evaluation.suite import read_suite

SUITE = read_suite("multi")
SIZE = truth_looks.SIZE


@pytest.fixture(scope="module")
def seen():
    """Everybody as asked, and the same picture without anybody's face found."""
    shots = SUITE.shots(SUITE.claims, range(3), SUITE.cast(None))
    drawn = truth_looks.truth_evidence([shot for shot in shots if shot.has_truth], None)
    found = [one for kind in ("two", "three", "two_free") for one in drawn.of(kind)]
    alone = [
        Seen(shot, one.picture, [])
        for one in found
        for shot in shots
        if shot.kind == one.shot.kind + ALONE and shot.number == one.shot.number
    ]
    return [*found, *alone]


def of(seen, known=None):
    evidence = Evidence(seen, known or truth_looks.known(None))
    return {name: one.estimate.value for name, one in measured(SUITE.claims, evidence).items()}


def test_the_truth_is_right(seen):
    found = of(seen)
    for kind in ("two", "three"):
        right = {f"{kind}_{name}" for name in ("face_sim", "expr", "pose", "found")}
        assert {name: found[name] for name in right} == pytest.approx(dict.fromkeys(right, 1.0))
        assert found[f"{kind}_count_error"] == 0
        assert found[f"{kind}_identity_confusion"] > 0.6  # random directions
        assert found[f"{kind}_background_ssim"] == pytest.approx(1)
        assert found[f"{kind}_background_psnr"] > 58
    assert found["two_face_sim_over_two_free"] == 0
    assert "two_clip_t" not in found  # no judge is named
    assert "two_seconds" not in found  # nothing was noted
    assert np.isnan(found["two_copy_paste"])  # reference and target are the same here


def test_no_face_is_the_worst(seen):
    found = of([replace(one, look=[]) for one in seen])
    for name in ("face_sim", "expr", "pose", "found", "identity_confusion", "background_psnr"):
        assert found[f"two_{name}"] == 0, name
    assert (found["two_count_error"], found["three_count_error"]) == (2, 3)


def test_faces_are_matched_wherever_they_stand(seen):
    """Swapped places: identities are found again, and each brings the other place's expression."""
    swapped = [
        replace(one, look=[replace(a, box=b.box), replace(b, box=a.box)])
        for one in seen
        if one.shot.kind == "two"
        for a, b in [one.look]
    ]
    assert of(swapped)["two_face_sim"] == pytest.approx(1)
    assert of(swapped)["two_expr"] == pytest.approx(1)


def test_a_copy_of_the_reference_is_told(seen):
    """Faces are the reference's; the target is another direction."""
    known = replace(
        truth_looks.known(None),
        targets=lambda shot: [truth_looks.identity(1000 + who) for who in shot.shows.people],
    )
    assert of(seen, known)["two_copy_paste"] == pytest.approx(1)

    def photo(shown):
        mixed = truth_looks.identity(shown.people[0]) + truth_looks.identity(1000 + shown.people[0])
        return mixed / np.linalg.norm(mixed)

    turned = replace(truth_looks.known(None), photo=photo)  # the faces are the targets'
    assert of(seen, turned)["two_copy_paste"] == pytest.approx(-1)
    blind = [replace(one, look=[]) for one in seen]
    assert of(blind, turned)["two_copy_paste"] == 1


def test_clip_and_seconds_are_taken_where_there_are_any(seen):
    known = replace(truth_looks.known(None), alike=lambda picture, prompt: len(prompt) / 10)
    timed = [replace(one, prompt="abc", seconds=2.0, seconds_compiling=3.0) for one in seen]
    found = of(timed, known)
    assert found["two_clip_t"] == pytest.approx(0.3)
    assert (found["two_seconds"], found["two_seconds_compiling"]) == (2, 3)


def test_diversity_is_over_seeds_alone():
    suite = read_suite("single")
    shots = [
        shot for shot in suite.shots(suite.claims, range(2), suite.cast(None)) if shot.subjects
    ]
    same = np.zeros((32, 32, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, same.shape, np.uint8)
    equal = Evidence([Seen(shot, same, []) for shot in shots], truth_looks.known(None))
    values = METRICS["diversity"].values(equal, "single")
    assert values == [(0, 0.0), (0, 0.0), (1, 0.0), (1, 0.0)]  # two asks each, one pair of seeds
    mixed = [Seen(shot, noise if shot.variant % 2 else same, []) for shot in shots]
    values = METRICS["diversity"].values(Evidence(mixed, truth_looks.known(None)), "single")
    assert min(value for _, value in values) > 0.9
