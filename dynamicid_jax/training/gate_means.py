"""How open gates are on faces and beside them: what training logs, what a quiet start decides by, and a loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.diffusion import losses
from dynamicid_jax.types import Params

Mean = Float[Array, ""]


def inside_and_outside(
    gate: Float[Array, "b q"], box: Float[Array, "b 4"], shown: Float[Array, " b"]
) -> tuple[Mean, Mean]:
    """The mean of a map inside the boxes, and outside of them.

    Args:
        gate: maps of square pictures.
        box: (x0, y0, x1, y1) of each picture's face, of 1.
        shown: weight of each picture.
    """
    inside, weight = _covered(gate, box), shown[:, None]
    return _mean(gate, inside * weight), _mean(gate, (1 - inside) * weight)


def gate_metrics(
    gates: Params, box: Float[Array, "b 4"] | None, shown: Float[Array, " b"]
) -> dict[str, Mean]:
    """Means over all cross-attentions: of the gate, of its share above 0, inside and outside the face box.

    Args:
        gates: maps [b q] of square pictures.
        box: of each picture's face.
        shown: 1 for rows whose face was not dropped.
    """
    parts: dict[str, list[Mean]] = {}
    for gate in jax.tree.leaves(gates):
        weight = jnp.broadcast_to(shown[:, None], gate.shape)
        means = {"gate_mean": _mean(gate, weight), "gate_open": _mean(gate > 0, weight)}
        if box is not None:
            means["gate_inside"], means["gate_outside"] = inside_and_outside(gate, box, shown)
        for name, mean in means.items():
            parts.setdefault(name, []).append(mean)
    return {name: jnp.stack(values).mean() for name, values in parts.items()}


def misplaced(
    levels: Params, box: Float[Array, "b 4"], shown: Float[Array, " b"]
) -> Float[Array, ""]:
    """(9) of diffusion/losses.py: 0 where every gate is 1 in the face's box and 0 elsewhere, 1/3 where drawn at random.

    Args:
        levels: gates [b q] of square pictures before their threshold.
        box: of each picture's face; a map on which it covers no cell counts by its rest.
        shown: 1 for rows whose face was not dropped.
    """
    layers = []
    for level in jax.tree.leaves(levels):
        squares = jnp.square(_covered(level, box) - level)
        layers.append(sum(inside_and_outside(squares, box, shown)) / 2)
    return jnp.stack(layers).mean()


def _covered(gate: Float[Array, "b q"], box: Float[Array, "b 4"]) -> Float[Array, "b q"]:
    """1 in the boxes' cells, 0 elsewhere."""
    side = round(gate.shape[1] ** 0.5)
    return losses.inside_boxes(box, side, side).reshape(gate.shape)


def _mean(values: Array, mass: Float[Array, "b q"]) -> Mean:
    return (values.astype(jnp.float32) * mass).sum() / jnp.maximum(mass.sum(), 1e-6)
