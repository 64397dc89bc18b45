"""Gate maps as pictures: where in the picture each cross-attention lets the people's features act."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageColor, ImageDraw

from dynamicid_jax.trees import flatten

CELL = 192  # pixels of one map on the sheet
LABEL = 16  # pixels above each map for its name
GAP = 6
COLUMNS = 6
ORANGE = "#ff8c00"


def name_gates(
    gates: Mapping[str, Any], height: int, width: int
) -> dict[str, Float[np.ndarray, "n h w"]]:
    """Nested gate sums of the sampling loop as `{"down_blocks_0.attentions_0": maps}`.

    Args:
        gates: nested dict by module name, leaves `n q`.
        height: of the latents, in cells; a map is the latents' shape halved some number of times.
        width: of the latents.
    """
    named = {}
    for path, gate in flatten(gates).items():
        h, w = height, width
        while h * w > gate.shape[-1]:
            h, w = -(-h // 2), -(-w // 2)
        name = path.replace("/cross_attention/gate", "").replace("/transformer_blocks_0", "")
        named[name.replace("/", ".")] = np.asarray(gate, np.float32).reshape(-1, h, w)
    return named


def mean_map(
    gate_maps: dict[str, Float[np.ndarray, "n h w"]], picture: int, size: tuple[int, int]
) -> Float[np.ndarray, "H W"]:
    """Mean over all layers of one picture's maps, stretched to `size` = (width, height) pixels, in [0, 1]."""
    return np.mean([_stretched(maps[picture], size) for maps in gate_maps.values()], axis=0)


def _stretched(gate: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    grey = Image.fromarray(np.ascontiguousarray(gate, np.float32))
    return np.clip(np.asarray(grey.resize(size, Image.Resampling.BILINEAR)), 0, 1)


def overlay(
    picture: Image.Image, gate: Float[np.ndarray, "h w"], colour: str = ORANGE
) -> Image.Image:
    """The picture in grey, lit in a colour where the gate is open."""
    lit = _stretched(gate, picture.size)[..., None]
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * 0.6
    mixed = grey * (1 - 0.7 * lit) + np.array(ImageColor.getrgb(colour), np.float32) * 0.7 * lit
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def sheet(
    images: list[Image.Image], gate_maps: dict[str, Float[np.ndarray, "n h w"]]
) -> Image.Image:
    """Per picture: the picture, the mean over layers, then every layer in the order of the UNet."""
    width, height = images[0].size
    scale = CELL / max(width, height)
    cell = (max(1, round(width * scale)), max(1, round(height * scale)))
    tiles = [
        tile for row, image in enumerate(images) for tile in _tiles(row, image, gate_maps, cell)
    ]
    step = (cell[0] + GAP, cell[1] + LABEL + GAP)
    rows = -(-len(tiles) // COLUMNS)
    canvas = Image.new("RGB", (step[0] * COLUMNS + GAP, step[1] * rows + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (name, tile) in enumerate(tiles):
        row, column = divmod(index, COLUMNS)
        corner = (GAP + column * step[0], GAP + row * step[1])
        draw.text(corner, name, fill="black")
        canvas.paste(tile, (corner[0], corner[1] + LABEL))
    return canvas


def _tiles(
    row: int,
    image: Image.Image,
    gate_maps: dict[str, Float[np.ndarray, "n h w"]],
    cell: tuple[int, int],
) -> list[tuple[str, Image.Image]]:
    """One picture's labelled tiles."""
    small = image.resize(cell, Image.Resampling.LANCZOS)
    mean = overlay(small, mean_map(gate_maps, row, cell))
    layers = [(_short(name), overlay(small, maps[row])) for name, maps in gate_maps.items()]
    return [(f"picture {row}", small), ("mean of all layers", mean), *layers]


def _short(name: str) -> str:
    """`down_blocks_0.attentions_1` as `down 0.1`."""
    return name.replace("_blocks_", " ").replace("_block", "").replace(".attentions_", ".")
