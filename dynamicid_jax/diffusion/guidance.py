"""Classifier-free guidance (arXiv 2207.12598, eq. 6, with scale = 1 + w).

(1)  guided = unconditional + scale (conditional - unconditional)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def classifier_free_guidance(
    prediction: Float[Array, "rows ..."], scale: float | Float[Array, ""]
) -> Float[Array, "rows//2 ..."]:
    """The guided prediction (1), in float32.

    float32: a scale of 5 takes a difference of near-equal numbers, and its rounding error, times 5.

    Args:
        prediction: all unconditional rows, then all conditional rows in the same order.
        scale: 1 leaves the conditional rows as they are, 0 the unconditional ones.
    """
    unconditional, conditional = jnp.split(prediction.astype(jnp.float32), 2)
    return unconditional + scale * (conditional - unconditional)
