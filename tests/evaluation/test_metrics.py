"""Metrics against closed forms and by their properties."""

import numpy as np
import pytest

from dynamicid_jax.evaluation.metrics import (
    LARGEST_PSNR,
    auc,
    copy_paste,
    face_sim,
    gate_auc,
    identity_margin,
    matching,
    psnr,
    rank,
    seam,
    ssim,
)
from dynamicid_jax.inference.layout import covered_cells


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


def test_matching_takes_the_largest_sum_not_the_largest_first():
    alike = np.array([[0.9, 0.8], [0.8, 0.1]])
    assert matching(alike) == {0: 1, 1: 0}
    assert matching(np.array([[0.2], [0.7], [0.1]])) == {1: 0}  # one face for three people
    assert matching(np.zeros((2, 0))) == {}


def test_copying_the_reference_is_1_and_the_other_picture_minus_1():
    dice = np.random.default_rng(0)
    reference, target = (v / np.linalg.norm(v) for v in dice.normal(size=(2, 64)))
    between = float(reference @ target)
    assert copy_paste(1.0, between, between) == pytest.approx(1)
    assert copy_paste(between, 1.0, between) == pytest.approx(-1)
    middle = (reference + target) / np.linalg.norm(reference + target)
    assert copy_paste(middle @ reference, middle @ target, between) == pytest.approx(0)
    assert np.isnan(copy_paste(0.9, 0.9, 0.97))


def test_the_margin_of_one_person_over_the_faces():
    assert identity_margin(np.array([0.2, 0.8, 0.4])) == pytest.approx(0.5)
    assert identity_margin(np.array([0.8, -0.3])) == 1
    assert identity_margin(np.array([0.8, 0.8])) == 0
    assert identity_margin(np.array([0.8])) == identity_margin(np.zeros(0)) == 0
    assert identity_margin(np.array([-0.1, -0.5])) == 0


def test_ssim_of_equal_pictures_and_of_a_shift_in_closed_form():
    dice = np.random.default_rng(0)
    one = dice.integers(0, 256, (32, 32, 3), np.uint8)
    everywhere = np.ones((32, 32), bool)
    assert ssim(one, one, everywhere) == pytest.approx(1)
    flat, brighter = np.full_like(one, 100), np.full_like(one, 120)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)  # contrast and structure are 1
    assert ssim(flat, brighter, everywhere) == pytest.approx(luminance)
    half = one.copy()
    half[:, 16:] = 0
    left = np.zeros((32, 32), bool)
    left[:, :8] = True
    assert ssim(one, half, left) == pytest.approx(1)
    assert np.isnan(ssim(one, half, np.zeros((32, 32), bool)))


def test_a_seam_stands_out_of_its_surroundings():
    dice = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(96), np.arange(96))[..., None].repeat(3, 2)
    box = (0.25, 0.25, 0.75, 0.75)
    smooth = (ramp + dice.integers(0, 2, ramp.shape)).astype(np.uint8)
    assert seam(smooth, box, 8) == pytest.approx(1, abs=0.1)
    cut = smooth.copy()
    cut[24:72, 24:72] += 40
    assert seam(cut, box, 8) > 5
    assert seam(cut, tuple(side + 0.09 for side in box), 8) < 2  # of another box
    assert np.isnan(seam(cut, (0.0, 0.0, 1.0, 1.0), 8))


@pytest.mark.parametrize("cell", [4, 8])
def test_a_seam_is_looked_for_where_the_layout_cuts(cell):
    """Fractions that fall between cells: the layout's edge, not the nearest pixel's, is where colours jump."""
    box, side = (0.21, 0.21, 0.73, 0.73), 96
    cells = covered_cells(box, side // cell, side // cell)
    dice = np.random.default_rng(0)
    picture = 100 + dice.integers(0, 4, (side, side, 3))
    picture += 60 * np.kron(cells, np.ones((cell, cell), int))[..., None]
    cut = seam(picture.astype(np.uint8), box, cell)
    assert cut > 15
    other = 12 - cell  # the other model's cells
    assert seam(picture.astype(np.uint8), box, other) < cut / 2
