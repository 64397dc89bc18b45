"""The 96 x 96 raster against the published code's, and the rule at its edges."""

import golden_io as golden
import numpy as np
import pytest

from dynamicid_jax.faces.landmarks import raster


@pytest.mark.parametrize("which", ["src", "tgt"])
def test_the_published_raster(which):
    case, _ = golden.load("f_edit")
    drawn = raster(case["in"][f"landmarks_{which}"], height=512, width=512)
    recorded = case["out"][f"raster_{which}"]
    assert drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    np.testing.assert_array_equal(drawn > 0, recorded > 0)


def drawn_pixels(points, height=96, width=96):
    picture = raster(np.array(points, np.float32), height=height, width=width)
    return {(int(column), int(row)) for row, column in np.argwhere(picture > 0)}


def test_points_on_the_left_and_upper_edge_are_left_out_but_not_those_just_inside():
    assert drawn_pixels([[0, 40], [40, 0], [-0.5, 40], [40, -0.5]]) == set()
    assert drawn_pixels([[0.01, 40], [40, 0.01]]) == {(0, 40), (40, 0)}


def test_points_on_and_beyond_the_right_and_lower_edge():
    assert drawn_pixels([[96, 40], [40, 96], [200, 40]]) == set()
    assert drawn_pixels([[95.99, 40], [40, 95.99]]) == {(95, 40), (40, 95)}


def test_the_whole_picture_is_stretched():
    assert drawn_pixels([[150, 50]], height=100, width=300) == {(48, 48)}
    assert drawn_pixels([[5, 199]], height=200, width=10) == {(48, 95)}


@pytest.mark.parametrize("count", [5, 68, 106])
def test_any_number_of_points(count):
    places = np.random.default_rng(count).permutation(94 * 94)[:count]
    points = np.stack([places % 94, places // 94], axis=1) + 1.5
    assert len(drawn_pixels(points)) == count


def test_no_points_at_all_and_points_that_are_not_numbers():
    assert drawn_pixels(np.zeros((0, 2))) == set()
    assert drawn_pixels([[np.nan, 4], [np.inf, 4], [7, 8]]) == {(7, 8)}
