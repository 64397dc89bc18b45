"""What the network predicts, and what follows from it for x = alpha x0 + sigma eps.

    (1)  epsilon       the noise:      x0 = (x - sigma eps) / alpha
    (2)  v_prediction  the velocity:   v = alpha eps - sigma x0      (arXiv 2202.00512, appendix D)
                                       x0 = alpha x - sigma v,   eps = sigma x + alpha v

Everything in float32, whatever the network computes in: (1) divides by alpha, which is 0.068 at the
noisiest timestep, so that rounding errors of x and eps come out fifteen times larger in x0.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.diffusion.schedule import PredictionType, per_row

Level = Float[Array, ""] | Float[Array, "b"]
"""alpha or sigma: one for all rows, or one per row."""


def to_x0_eps(
    prediction: Float[Array, "b ..."],
    latents: Float[Array, "b ..."],
    alpha: Level,
    sigma: Level,
    kind: PredictionType,
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
    """Splits noisy latents into the clean latents and the noise that the network sees in them.

    Returns:
        (x0, eps) in float32, with alpha x0 + sigma eps = latents.
    """
    prediction, latents = prediction.astype(jnp.float32), latents.astype(jnp.float32)
    alpha, sigma = per_row(alpha, latents), per_row(sigma, latents)
    if kind == "epsilon":
        return (latents - sigma * prediction) / alpha, prediction
    return alpha * latents - sigma * prediction, sigma * latents + alpha * prediction


def target(
    x0: Float[Array, "b ..."],
    noise: Float[Array, "b ..."],
    alpha: Level,
    sigma: Level,
    kind: PredictionType,
) -> Float[Array, "b ..."]:
    """What the network should predict for latents noised with `noise`, in float32."""
    x0, noise = x0.astype(jnp.float32), noise.astype(jnp.float32)
    if kind == "epsilon":
        return noise
    return per_row(alpha, x0) * noise - per_row(sigma, x0) * x0
