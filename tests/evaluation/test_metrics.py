"""Metrics against closed forms and by their properties."""

import numpy as np
import pytest

from dynamicid_jax.evaluation.metrics import LARGEST_PSNR, auc, face_sim, gate_auc, psnr, rank


def test_face_sim_is_the_cosine():
    one = np.array([3.0, 4.0], np.float32)
    assert face_sim(one, 7 * one) == pytest.approx(1)
    assert face_sim(one, np.array([-4.0, 3.0], np.float32)) == pytest.approx(0)
    assert face_sim(np.zeros(2, np.float32), one) == 0


def test_rank_counts_who_is_at_least_as_similar():
    gallery = np.eye(4, dtype=np.float32)
    gallery[3] = np.nan  # a person whose own picture held no face
    face = np.array([0.1, 0.9, 0.5, 0.0], np.float32)
    assert [rank(face, gallery, who) for who in range(4)] == [3, 1, 2, 4]
    assert rank(np.ones(4, np.float32), np.ones((4, 4), np.float32), 0) == 4  # a tie is no hit


def test_auc_of_separable_random_and_equal_values():
    dice = np.random.default_rng(0)
    positive = dice.random(500) < 0.3
    assert auc(positive * 1.0, positive) == 1
    assert auc(-1.0 * positive, positive) == 0
    assert auc(np.zeros(500), positive) == 0.5
    assert auc(dice.random(500), positive) == pytest.approx(0.5, abs=0.08)
    assert np.isnan(auc(dice.random(5), np.zeros(5, bool)))


def test_auc_does_not_change_under_a_growing_function():
    dice = np.random.default_rng(1)
    values, positive = dice.normal(size=200), dice.random(200) < 0.5
    assert auc(np.exp(values), positive) == pytest.approx(auc(values, positive))
    pairs = [(a > b) + 0.5 * (a == b) for a in values[positive] for b in values[~positive]]
    assert auc(values, positive) == pytest.approx(np.mean(pairs))


def test_the_gate_of_a_face_is_told_by_its_box():
    gate = np.zeros((4, 4), np.float32)
    gate[1:3, 2:] = 1
    assert gate_auc(gate, np.array([0.5, 0.25, 1.1, 0.75])) == 1
    assert gate_auc(gate, np.array([0.0, 0.25, 0.5, 0.75])) < 0.5
    assert np.isnan(gate_auc(gate, np.array([-1.0, -1.0, 2.0, 2.0])))


def test_psnr_in_closed_form_and_only_where_asked():
    one = np.full((8, 8, 3), 100, np.uint8)
    other = one.copy()
    other[:4] = 110
    upper = np.zeros((8, 8), bool)
    upper[:4] = True
    assert psnr(one, other, upper) == pytest.approx(20 * np.log10(25.5))
    assert psnr(one, other, ~upper) == LARGEST_PSNR
    assert psnr(one, other, upper) == psnr(other, one, upper)
    assert np.isnan(psnr(one, other, np.zeros((8, 8), bool)))
