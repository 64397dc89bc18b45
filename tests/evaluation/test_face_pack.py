"""Measuring: counts with intervals, and matching of boxes."""

import numpy as np
import pytest

from dynamicid_jax.evaluation.face_pack import Share, matched, overlap
from dynamicid_jax.faces.record import Detection


def _at(x, y, side, score=0.9):
    box = np.array([x, y, x + side, y + side], np.float32)
    return Detection(box, np.zeros((5, 2), np.float32), score)


def test_intervals_are_wilsons():
    # Newcombe 1998 (Statistics in Medicine 17, table I): 81 of 263, method 3
    low, high = Share(81, 263).interval
    assert (low, high) == (pytest.approx(0.2553, abs=2e-4), pytest.approx(0.3662, abs=2e-4))
    assert Share(0, 20).interval[0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(Share(0, 0).value)


def test_overlap_in_closed_form():
    one = np.array([0.0, 0, 10, 10], np.float32)
    assert overlap(one, one) == 1
    assert overlap(one, one + np.array([5, 0, 5, 0], np.float32)) == pytest.approx(1 / 3)
    assert overlap(one, one + 20) == 0


def test_each_face_is_matched_once():
    truth = [np.array([0.0, 0, 10, 10], np.float32), np.array([30.0, 0, 40, 10], np.float32)]
    found = [_at(0, 0, 10), _at(1, 0, 10), _at(70, 70, 10)]
    pairs, wrong, given = matched(truth, found)
    assert pairs == [(0, 0)]
    assert (wrong, given) == (2, 3)
    assert matched(truth, []) == ([], 0, 0)
    assert matched([], found)[1:] == (3, 3)
