"""What each sampler does at each step, as a table of coefficients.

Every sampler of this package is the same linear update of latents x = alpha x0 + sigma eps,

    (1)  x' = c_latents x + c_x0 x0 + c_eps eps + c_previous x0_previous + c_noise z,   z ~ N(0, I)

where (x0, eps) is what the network makes of x, x0_previous the x0 of the step before, and the
coefficients depend on the step alone. A prime marks the level that the step goes to.

DDIM with eta = 0 (arXiv 2010.02502, eq. 12):

    (2)  x' = alpha' x0 + sigma' eps

  The last step goes to `final_alpha_cumprod`: with Stable Diffusion's set_alpha_to_one = false that
  is not the clean picture but the noise level of timestep 0 (sigma 0.029).

Euler's method for the probability-flow equation (arXiv 2206.00364, algorithm 1 without its second
  evaluation), there in y = x / alpha and s = sigma / alpha: y' = y + (s' - s) eps. y is x0 + s eps,
  so that y' = x0 + s' eps, and times alpha' it is (2). What differs from DDIM is the end: s' = 0,
  the clean picture. Its first y ~ N(0, 1 + s^2) is x ~ N(0, 1), where every sampler here starts.

DPM-Solver++ 2M, midpoint (arXiv 2211.01095, algorithm 2), with lambda = log(alpha / sigma),
  h = lambda' - lambda and r = h_previous / h:

    (3)  x' = sigma'/sigma x + alpha' (1 - e^-h) [x0 + (x0 - x0_previous) / (2 r)]

  The first step has no x0_previous and leaves the fraction out. The last one goes to sigma' = 0,
  where h is infinite: it is x' = x0. That end takes the place of the last point of a grid of one
  more step (leading and linspace spacing; a trailing grid stops above timestep 0 by itself).

LCM (arXiv 2310.04378, algorithm 3): jump to x0, then draw all noise anew; not in the last step.
  c_skip and c_out are the consistency function's boundary conditions, u = 10 t, sigma_data = 0.5:

    (4)  x' = alpha' (c_out x0 + c_skip x) + sigma' z
         c_skip = sigma_data^2 / (u^2 + sigma_data^2),   c_out = u / sqrt(u^2 + sigma_data^2)

TCD with strategic stochastic sampling (arXiv 2402.19159): jump below the next timestep t', to
  t'' = floor((1 - gamma) t'), then noise from there up to t'. Two primes mark the level of t'':

    (5)  x' = alpha'/alpha'' (alpha'' x0 + sigma'' eps) + sqrt(1 - alpha'^2/alpha''^2) z

  The last step has t' = t'' = 0, like DDIM's: the noise level of timestep 0.

LCM and TCD visit some of the 50 timesteps 19, 39, ..., 999 that their students were distilled on.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int32

from dynamicid_jax.diffusion.schedule import NoiseSchedule, check_steps
from dynamicid_jax.errors import InputError

DISTILLED_STEPS = 50  # grid of LCM and TCD students
LCM_TIMESTEP_SCALING = 10.0
LCM_SIGMA_DATA = 0.5
TCD_GAMMA = 0.3  # 0: deterministic; 1: all noise is drawn anew at every step


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SamplerPlan:
    """All steps of one sampling run: arrays with the step as their axis; a row of it has scalars.

    `timestep`, `alpha` and `sigma` are the level of the latents that the network is given; the
    coefficients are those of (1). float32, rounded once from float64 tables.
    """

    timestep: Int32[Array, "*steps"]
    alpha: Float[Array, "*steps"]
    sigma: Float[Array, "*steps"]
    c_latents: Float[Array, "*steps"]
    c_x0: Float[Array, "*steps"]
    c_eps: Float[Array, "*steps"]
    c_previous: Float[Array, "*steps"]
    c_noise: Float[Array, "*steps"]


def ddim_plan(schedule: NoiseSchedule, steps: int) -> SamplerPlan:
    """DDIM with eta = 0, formula (2). Raises InputError if that many steps do not fit."""
    timesteps = schedule.timesteps(steps)
    alphas_cumprod = np.append(schedule.alphas_cumprod[timesteps], schedule.final_alpha_cumprod)
    return _plan(
        schedule,
        timesteps,
        c_x0=np.sqrt(alphas_cumprod[1:]),
        c_eps=np.sqrt(1 - alphas_cumprod[1:]),
    )


def euler_plan(schedule: NoiseSchedule, steps: int) -> SamplerPlan:
    """Euler, formula (2) to the end. Raises InputError if that many steps do not fit."""
    timesteps = schedule.timesteps(steps)
    return _plan(
        schedule,
        timesteps,
        c_x0=np.append(schedule.alphas[timesteps][1:], 1.0),
        c_eps=np.append(schedule.sigmas[timesteps][1:], 0.0),
    )


def dpmpp_2m_plan(schedule: NoiseSchedule, steps: int) -> SamplerPlan:
    """DPM-Solver++ 2M, formula (3). Raises InputError if that many steps do not fit."""
    extra = 0 if schedule.config.timestep_spacing == "trailing" else 1
    timesteps = schedule.timesteps(steps, extra=extra)
    alpha, sigma = schedule.alphas[timesteps], schedule.sigmas[timesteps]
    c_latents, c_x0, c_previous = np.zeros(steps), np.ones(steps), np.zeros(steps)
    h = np.diff(np.log(alpha / sigma))  # of every step but the last, which keeps (0, 1, 0): x' = x0
    jump = -alpha[1:] * np.expm1(-h)
    correction = np.zeros_like(jump)  # 1 / (2 r) times the jump; none in the first step
    correction[1:] = jump[1:] * h[1:] / (2 * h[:-1])
    c_latents[:-1] = sigma[1:] / sigma[:-1]
    c_x0[:-1] = jump + correction
    c_previous[:-1] = -correction
    return _plan(schedule, timesteps, c_latents=c_latents, c_x0=c_x0, c_previous=c_previous)


def lcm_plan(schedule: NoiseSchedule, steps: int) -> SamplerPlan:
    """LCM, formula (4). Raises InputError for more steps than its students were distilled on."""
    timesteps = _distilled_timesteps(schedule, steps)
    u, data = LCM_TIMESTEP_SCALING * timesteps, LCM_SIGMA_DATA
    alpha_next = np.append(schedule.alphas[timesteps][1:], 1.0)
    sigma_next = np.append(schedule.sigmas[timesteps][1:], 0.0)
    return _plan(
        schedule,
        timesteps,
        c_latents=alpha_next * data**2 / (u**2 + data**2),
        c_x0=alpha_next * u / np.sqrt(u**2 + data**2),
        c_noise=sigma_next,
    )


def tcd_plan(schedule: NoiseSchedule, steps: int, gamma: float = TCD_GAMMA) -> SamplerPlan:
    """TCD, formula (5). Raises InputError for more steps than its students were distilled on."""
    timesteps = _distilled_timesteps(schedule, steps)
    following = np.append(timesteps[1:], 0)
    jumped_to = np.floor((1 - gamma) * following).astype(np.int32)
    alpha_s, sigma_s = schedule.alphas[jumped_to], schedule.sigmas[jumped_to]
    ratio = schedule.alphas[following] / alpha_s
    return _plan(
        schedule,
        timesteps,
        c_x0=ratio * alpha_s,
        c_eps=ratio * sigma_s,
        c_noise=np.sqrt(1 - ratio**2),
    )


def _distilled_timesteps(schedule: NoiseSchedule, steps: int) -> Int32[np.ndarray, "steps"]:
    """An even choice from the distillation grid, from noise to picture."""
    stride = schedule.config.num_train_timesteps // DISTILLED_STEPS
    if stride == 0:
        raise InputError(
            f"sampler: LCM and TCD need a schedule of at least {DISTILLED_STEPS} timesteps, "
            f"got {schedule.config.num_train_timesteps}; use another sampler"
        )
    check_steps(steps, DISTILLED_STEPS)
    grid = np.arange(DISTILLED_STEPS, 0, -1) * stride - 1
    return grid[np.arange(steps) * DISTILLED_STEPS // steps].astype(np.int32)


def _plan(
    schedule: NoiseSchedule,
    timesteps: Int32[np.ndarray, "steps"],
    **coefficients: Float64[np.ndarray, "steps"],
) -> SamplerPlan:
    """Puts the levels and the coefficients, 0 where none are given, on the device in float32."""
    none = np.zeros(len(timesteps))
    names = ("c_latents", "c_x0", "c_eps", "c_previous", "c_noise")
    columns = {name: coefficients.get(name, none) for name in names}
    columns |= {"alpha": schedule.alphas[timesteps], "sigma": schedule.sigmas[timesteps]}
    return SamplerPlan(
        timestep=jnp.asarray(timesteps),
        **{name: jnp.asarray(column, jnp.float32) for name, column in columns.items()},
    )
