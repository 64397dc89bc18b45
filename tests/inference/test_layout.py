"""Boxes to cells: the recorded rule, the defaults, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.layout import (
    check_box,
    covered_cells,
    face_layout,
    map_sizes,
    resolve_boxes,
    strips,
)


def test_thirds_of_sixteen_cells_split_at_five_and_ten() -> None:
    columns = [covered_cells(box, 16, 16).any(0).nonzero()[0] for box in strips(3)]
    assert [(c[0], c[-1]) for c in columns] == [(0, 4), (5, 9), (10, 15)]


@pytest.mark.parametrize("people", range(1, 9))
@pytest.mark.parametrize("width", [1, 2, 8, 13, 64, 96])
def test_strips_tile_every_map(people: int, width: int) -> None:
    cells = sum(covered_cells(box, 4, width).astype(int) for box in strips(people))
    assert (cells == 1).all()


def test_a_box_is_x_first_and_counts_from_the_upper_left() -> None:
    cells = covered_cells((0.5, 0.0, 1.0, 0.25), 8, 4)
    assert cells[:2, 2:].all()
    assert cells.sum() == 4


@pytest.mark.parametrize(
    "box",
    [
        (0.1, 0.1, 0.1, 0.5),
        (0.5, 0.1, 0.1, 0.5),
        (0.1, 0.5, 0.5, 0.2),
        (-0.1, 0.0, 0.5, 0.5),
        (0.0, 0.0, 0.5, 1.01),
        (float("nan"), 0.0, 0.5, 1.0),
        (0.0, 0.0, 0.5),
        (0.0, 0.0, 0.5, 1.0, 1.0),
        (0, 0, 1, 10**400),
    ],
)
def test_bad_boxes_are_refused_in_one_line(box: tuple) -> None:
    with pytest.raises(InputError, match=r"^box: [^\n]+$"):
        check_box(box)


def test_boxes_for_some_people_only_are_refused() -> None:
    with pytest.raises(InputError, match="person 2 has none"):
        resolve_boxes([(0.0, 0.0, 0.5, 1.0), None])


def test_default_places() -> None:
    assert resolve_boxes([None]) is None
    assert resolve_boxes([None, None]) == strips(2)


def test_a_box_without_a_cell_is_refused_and_coarse_maps_may_lose_it() -> None:
    sizes = map_sizes(16, 16, 4)
    assert sizes == [(16, 16), (8, 8), (4, 4), (2, 2)]
    with pytest.raises(InputError, match="covers no cell"):
        face_layout([(0.01, 0.0, 0.05, 1.0)], jnp.eye(1), sizes)
    layout = face_layout([(0.0, 0.0, 0.1, 0.1)], jnp.eye(1), sizes)
    covered = {size: int(np.asarray(cells).sum()) for size, cells in layout.inside.items()}
    assert covered == {"16x16": 1, "8x8": 0, "4x4": 0, "2x2": 0}


def test_odd_sizes_halve_upwards_like_the_convolutions_do() -> None:
    assert map_sizes(24, 40, 4) == [(24, 40), (12, 20), (6, 10), (3, 5)]
    assert map_sizes(9, 1, 3) == [(9, 1), (5, 1), (3, 1)]
