"""The variance-preserving noise schedule: how much of x_t is picture and how much is noise.

    (1)  x_t = alpha_t x_0 + sigma_t eps,   eps ~ N(0, I)
    (2)  alpha_t^2 = prod_{u <= t} (1 - beta_u),   sigma_t^2 = 1 - alpha_t^2

from DDPM (arXiv 2006.11239, eq. 4); `alphas_cumprod` is alpha_t^2, its name in checkpoints. Over
the timesteps beta grows linearly ("linear") or its square root does ("scaled_linear", Stable
Diffusion); values in METHOD section 6.

Which timesteps a sampler visits ("spacing", arXiv 2305.08891, table 2), N = 1000, n steps:

    leading    0, N//n, 2 (N//n), ...      shifted up by `steps_offset`; stops short of pure noise
    trailing   N - 1, N - 1 - N/n, ...     rounded; starts at the noisiest timestep
    linspace   0, ..., N - 1 evenly        rounded; has both ends (one step: timestep 0 alone)
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Int32

from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import ScheduleConfig

Spacing = Literal["leading", "trailing", "linspace"]
PredictionType = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Tables over the training timesteps, kept on the host in float64.

    float64: sigma at the first timesteps is the root of a difference of numbers near 1, of which
    float32 keeps four digits; what goes to the device is rounded once, at the end.

    Attributes:
        config: what the tables were made from.
        betas: share of the variance that one training step replaces by noise.
        alphas_cumprod: alpha_t^2 of (2).
        final_alpha_cumprod: the alpha^2 that DDIM's last step goes to: 1, the clean picture, with
            `set_alpha_to_one`, else the value at timestep 0.
    """

    config: ScheduleConfig
    betas: Float64[np.ndarray, "timesteps"]
    alphas_cumprod: Float64[np.ndarray, "timesteps"]
    final_alpha_cumprod: float

    @classmethod
    def from_config(cls, config: ScheduleConfig) -> "NoiseSchedule":
        """Builds the tables.

        Raises:
            WeightsError: values that are no noise schedule.
        """
        if not 0 < config.beta_start <= config.beta_end < 1:
            got = f"{config.beta_start} and {config.beta_end}"
            raise WeightsError(f"schedule: expected 0 < beta_start <= beta_end < 1, got {got}")
        if config.num_train_timesteps < 1 or config.steps_offset < 0:
            got = f"{config.num_train_timesteps} and {config.steps_offset}"
            raise WeightsError(
                f"schedule: expected num_train_timesteps >= 1 and steps_offset >= 0, got {got}"
            )
        power = 0.5 if config.beta_schedule == "scaled_linear" else 1.0
        ends = (config.beta_start**power, config.beta_end**power)
        betas = np.linspace(*ends, config.num_train_timesteps, dtype=np.float64) ** (1 / power)
        alphas_cumprod = np.cumprod(1 - betas)
        betas.setflags(write=False)
        alphas_cumprod.setflags(write=False)
        final = 1.0 if config.set_alpha_to_one else float(alphas_cumprod[0])
        return cls(config, betas, alphas_cumprod, final)

    @property
    def prediction_type(self) -> PredictionType:
        """What the network predicts (parameterization.py)."""
        return self.config.prediction_type

    @property
    def alphas(self) -> Float64[np.ndarray, "timesteps"]:
        """The alpha_t of (1)."""
        return np.sqrt(self.alphas_cumprod)

    @property
    def sigmas(self) -> Float64[np.ndarray, "timesteps"]:
        """The sigma_t of (1)."""
        return np.sqrt(1 - self.alphas_cumprod)

    def timesteps(
        self, steps: int, spacing: Spacing | None = None, extra: int = 0
    ) -> Int32[np.ndarray, "steps"]:
        """The timesteps of `steps` sampling steps, from noise to picture.

        Args:
            steps: how many.
            spacing: one of the grids at the head of this file; None: the model's own.
            extra: the grid is that of `steps + extra` steps with the last `extra` ones cut off.

        Raises:
            InputError: fewer than 1 step, or more than the grid has room for.
        """
        total = self.config.num_train_timesteps
        check_steps(steps, total)
        points = steps + extra
        spacing = spacing or self.config.timestep_spacing
        grid: np.ndarray
        if spacing == "leading":
            grid = np.arange(points)[::-1] * (total // points) + self.config.steps_offset
        elif spacing == "trailing":
            grid = np.round(np.arange(total, 0, -total / points)) - 1
        else:
            grid = np.round(np.linspace(0, total - 1, points))[::-1]
        grid = grid[:steps]  # also drops a point below 0 that rounding can add to "trailing"
        if grid[0] >= total or np.any(np.diff(grid) >= 0):
            room = (
                f"a {spacing!r} grid on {total} timesteps (steps_offset {self.config.steps_offset})"
            )
            raise InputError(f"steps={steps}: more than {room} has room for; use fewer")
        return grid.astype(np.int32)

    def alpha_sigma(
        self, timesteps: Int[Array, "*b"]
    ) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
        """The alpha and sigma of (1) in float32, by indexing on the device."""
        alphas, sigmas = (jnp.asarray(t, jnp.float32) for t in (self.alphas, self.sigmas))
        return alphas[timesteps], sigmas[timesteps]

    def add_noise(
        self, x0: Float[Array, "b ..."], noise: Float[Array, "b ..."], timesteps: Int[Array, "b"]
    ) -> Float[Array, "b ..."]:
        """Draws x_t of (1) from clean latents and given standard normal noise, in float32."""
        alpha, sigma = (per_row(value, x0) for value in self.alpha_sigma(timesteps))
        return alpha * x0.astype(jnp.float32) + sigma * noise.astype(jnp.float32)


def per_row(
    values: Float[Array, ""] | Float[Array, "b"], like: Float[Array, "b ..."]
) -> Float[Array, "..."]:
    """One number, or one per row, shaped so that it multiplies `like` without changing its rank."""
    return values if values.ndim == 0 else values.reshape(values.shape + (1,) * (like.ndim - 1))


def check_steps(steps: int, most: int) -> None:
    """Raises InputError unless 1 <= steps <= most."""
    if not 1 <= steps <= most:
        raise InputError(f"steps={steps}: expected a whole number from 1 to {most}")
