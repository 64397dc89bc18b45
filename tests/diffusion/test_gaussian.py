"""The deterministic samplers against a closed form.

For data N(mu, s^2) the latents at a noise level are N(alpha mu, v), v = alpha^2 s^2 + sigma^2, and
the best prediction of the noise in x is sigma (x - alpha mu) / v. Along the probability flow the
standardised latent (x - alpha mu) / sqrt(v) does not change, which gives the exact x at any other
level. None of this uses the samplers' own formulas.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.diffusion.samplers import LoopState, denoise_loop, get_sampler
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.models.configs import ScheduleConfig

MEAN = 0.7


def error(name, steps, deviation, prediction_type="epsilon", share=1.0):
    """Root mean square distance from the exact solution after a share of the steps."""
    config = ScheduleConfig(timestep_spacing="trailing", prediction_type=prediction_type)
    schedule = NoiseSchedule.from_config(config)
    sampler = get_sampler(name)
    plan = sampler.plan(schedule, steps)

    def model(latents, row, step):
        variance = (row.alpha * deviation) ** 2 + row.sigma**2
        eps = row.sigma * (latents - row.alpha * MEAN) / variance
        if prediction_type == "epsilon":
            return eps, None
        x0 = MEAN + row.alpha * deviation**2 * (latents - row.alpha * MEAN) / variance
        return row.alpha * eps - row.sigma * x0, None

    start = np.linspace(-2, 2, 9).reshape(1, 9)
    keys = jax.random.split(jax.random.key(0), 1)
    state = LoopState.start(jnp.asarray(start, jnp.float32), keys)
    stop = round(share * steps)
    state = denoise_loop(model, sampler, prediction_type, plan, state, 0, stop)

    alphas = np.append(schedule.alphas[plan.timestep], 1.0)
    if name == "ddim":
        alphas[-1] = schedule.final_alpha_cumprod**0.5
    means = alphas * MEAN
    deviations = np.sqrt(1 - alphas**2 + (alphas * deviation) ** 2)
    exact = means[stop] + (start - means[0]) * deviations[stop] / deviations[0]
    return np.sqrt(np.mean((np.asarray(state.latents, np.float64) - exact) ** 2))


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("euler", 1), ("dpmpp_2m", 2)])
def test_order_of_convergence(name, order, deviation):
    """Over the first half, timesteps 999 to 499: there even steps in t are small ones in log-SNR.

    Measured slopes between 20, 40 and 100 steps: 0.99 to 1.00, 0.99 to 1.00, 1.96 to 2.08.
    """
    steps = np.array([20, 40, 100])
    errors = np.array([error(name, int(n), deviation, share=0.5) for n in steps])
    slopes = -np.diff(np.log(errors)) / np.diff(np.log(steps))
    np.testing.assert_allclose(slopes, order, atol=0.1)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m"])
def test_whole_runs_converge_to_the_exact_solution(name, deviation):
    """Measured at 200 steps: 8.3e-3 to 1.4e-2, 1.1e-2 to 1.5e-2, 1.1e-3 to 4.6e-3."""
    coarse, fine = (error(name, steps, deviation) for steps in (25, 200))
    assert fine < 0.02
    assert fine < coarse / 4


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m"])
def test_velocity_prediction_follows_the_same_path(name):
    noise, velocity = (error(name, 40, 1.0, kind, 0.5) for kind in ("epsilon", "v_prediction"))
    assert abs(noise - velocity) < 1e-6


def test_second_order_pays_off_at_the_usual_number_of_steps():
    assert error("dpmpp_2m", 20, 1.0) < error("euler", 20, 1.0) / 2
