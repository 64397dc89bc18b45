"""Boxes of any kind, for any number of people on any map: cells for everybody, or a refusal."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.inference.layout import check_box, face_layout, map_sizes, resolve_boxes
from dynamicid_jax.inference.random_model import nano_config
from dynamicid_jax.inference.request import Request

from .harness import Case, Fuzzer
from .mutate import JUNK, Generator, pick

NUMBERS = (0.0, 1.0, 0.5, -0.0, 1e-9, 1 - 1e-9, 1.0000001, -1e-9, 1e308, float("nan"), float("inf"))
ARGUMENTS = (
    "identity_scale",
    "layout_strength",
    "layout_steps",
    "height",
    "width",
    "steps",
    "seed",
)


def _box(rng: Generator) -> Any:
    kind = int(rng.integers(8))
    if kind == 0:
        return pick(rng, JUNK)
    if kind == 1:
        return [pick(rng, (*JUNK, *NUMBERS)) for _ in range(int(rng.integers(0, 7)))]
    corners = np.sort(
        rng.uniform(-0.05 if kind == 2 else 0, 1.05 if kind == 2 else 1, (2, 2)), axis=0
    )
    box = [float(value) for value in corners.ravel()]
    if kind == 3:
        box[int(rng.integers(4))] = pick(rng, NUMBERS)
    if kind == 4:
        rng.shuffle(box)
    if kind == 5:
        box[2:] = [value + 10.0 ** -int(rng.integers(1, 9)) for value in box[:2]]
    return np.array(box) if kind == 6 else tuple(box)


def _prepare(folder: Path) -> Case:
    config = nano_config()

    def case(rng: Generator) -> None:
        count = int(rng.integers(1, 5))
        given = [None if rng.random() < 0.1 else _box(rng) for _ in range(count)]
        extra = {
            name: pick(rng, (*JUNK, *NUMBERS, 64, 3)) for name in ARGUMENTS if rng.random() < 0.1
        }
        request = Request.resolve(config, prompt="x", **extra)
        boxes = resolve_boxes([None if box is None else check_box(box) for box in given])
        sizes = map_sizes(*(int(side) for side in rng.integers(1, 70, 2)), int(rng.integers(1, 5)))
        layout = face_layout(
            boxes, jnp.eye(count), sizes, identity_scale=request.identity_scale, gate=request.gate
        )
        for (height, width), cells in zip(sizes, layout.inside.values(), strict=False):
            assert cells.shape == (1, count, height * width)
        assert boxes is None or np.asarray(layout.inside["{}x{}".format(*sizes[0])]).any(-1).all()
        jax.block_until_ready(layout.mix)

    return case


FUZZER = Fuzzer("layouts", 10_000, 200, _prepare)
