"""The samplers, step by step, against recordings of other people's code and against identities.

samplers_diffusers.npz was recorded with diffusers 0.42.1 (torch 2.13.0, float32, on a CPU). Every
scheduler (DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler,
TCDScheduler) got num_train_timesteps 1000, scaled_linear betas 0.00085 to 0.012, steps_offset 1;
DDIM, LCM and TCD also set_alpha_to_one false and clip_sample false; the rest was left at its
default (LCM and TCD: 50 original steps, timestep scaling 10; eta 0 for DDIM, 0.3 for TCD). A name
in the file reads sampler-steps-prediction_type-timestep_spacing. The start is standard normal of
shape [1, 1, 2, 4], for Euler times (sigma^2 + 1)^0.5 of the first sigma. At every timestep t the
input that `scale_model_input` gave went into the linear "network" 0.7 x + 0.2 cos(k + t / 100), k
counting the numbers of x from 0, and its output into `step`. Recorded are the timesteps; the latents
before the first and after every step, Euler's divided by (sigma^2 + 1)^0.5 of the level that the
step goes to; for LCM and TCD the noise that the generator gave to each step, zeros where it was not
asked.
"""

import functools

import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.diffusion.parameterization import to_x0_eps
from dynamicid_jax.diffusion.plans import tcd_plan
from dynamicid_jax.diffusion.samplers import SAMPLERS, LoopState, denoise_loop, get_sampler
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import ScheduleConfig

STABLE_DIFFUSION = NoiseSchedule.from_config(ScheduleConfig())
DETERMINISTIC = ("ddim", "dpmpp_2m", "euler")


def row_of(plan, step):
    return jax.tree.map(lambda column: column[step], plan)


@functools.cache
def recordings():
    with np.load(golden.FOLDER / "samplers_diffusers.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    cases = {}
    for key, array in arrays.items():
        case, part = key.split("/")
        cases.setdefault(case, {})[part] = array
    return cases


def recorded_network(latents, timestep):
    wave = jnp.cos(jnp.arange(8.0) + timestep / 100).reshape(latents.shape)
    return 0.7 * latents + 0.2 * wave


@pytest.mark.parametrize("case", recordings())
def test_every_step_equals_diffusers(case):
    name, steps, prediction_type, spacing = case.split("-")
    recorded = recordings()[case]
    config = ScheduleConfig(prediction_type=prediction_type, timestep_spacing=spacing)
    sampler = get_sampler(name)
    plan = sampler.plan(NoiseSchedule.from_config(config), int(steps))
    np.testing.assert_array_equal(plan.timestep, recorded["timesteps"])
    latents = jnp.asarray(recorded["latents"][0])
    previous = jnp.zeros_like(latents)
    for step in range(int(steps)):
        row = row_of(plan, step)
        prediction = recorded_network(latents, row.timestep)
        x0, eps = to_x0_eps(prediction, latents, row.alpha, row.sigma, prediction_type)
        noise = jnp.asarray(recorded["noise"][step]) if sampler.stochastic else None
        latents, previous = sampler.step(row, latents, x0, eps, previous, noise), x0
        # largest seen: 8.4e-7
        golden.close(latents, recorded["latents"][step + 1], 3e-6)


@pytest.mark.parametrize("case", [c for c in recordings() if c.split("-")[0] in DETERMINISTIC])
def test_the_loop_takes_the_same_steps(case):
    name, steps, prediction_type, spacing = case.split("-")
    recorded = recordings()[case]["latents"]
    config = ScheduleConfig(prediction_type=prediction_type, timestep_spacing=spacing)
    sampler = get_sampler(name)
    plan = sampler.plan(NoiseSchedule.from_config(config), int(steps))
    keys = jax.random.split(jax.random.key(0), 1)
    state = LoopState.start(jnp.asarray(recorded[0]), keys)
    model = lambda latents, row, step: (recorded_network(latents, row.timestep), None)  # noqa: E731
    state = denoise_loop(model, sampler, prediction_type, plan, state, 0, int(steps))
    golden.close(state.latents, recorded[-1], 3e-6)


@pytest.mark.parametrize("step", range(4))
def test_ddim_step_equals_the_published_code(step):
    case, _ = golden.load("f_scheduler")
    sampler = SAMPLERS["ddim"]
    row = row_of(sampler.plan(STABLE_DIFFUSION, 4), step)
    latents, eps = (jnp.asarray(np.moveaxis(case["in"][key], 1, -1)) for key in ("sample", "eps"))
    x0, eps = to_x0_eps(eps, latents, row.alpha, row.sigma, "epsilon")
    ours = sampler.step(row, latents, x0, eps, jnp.zeros_like(latents), None)
    recorded = case["out"][f"step_prev_{int(row.timestep)}"]
    golden.close(ours, np.moveaxis(recorded, 1, -1), 1e-6)


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_a_network_that_knows_the_picture_is_followed_exactly(name, steps):
    """With the true x0 and eps at every step the latents stay alpha x0 + sigma eps, to the end."""
    sampler = SAMPLERS[name]
    plan = sampler.plan(STABLE_DIFFUSION, steps)
    rng = np.random.default_rng(0)
    x0, eps = (jnp.asarray(rng.standard_normal((2, 3)), jnp.float32) for _ in range(2))
    latents = plan.alpha[0] * x0 + plan.sigma[0] * eps
    previous = jnp.zeros_like(latents)
    for step in range(steps):
        row = row_of(plan, step)
        np.testing.assert_allclose(latents, row.alpha * x0 + row.sigma * eps, atol=1e-5)
        latents = sampler.step(row, latents, x0, eps, previous, None)
        previous = x0
    end = STABLE_DIFFUSION.final_alpha_cumprod if name == "ddim" else 1.0
    np.testing.assert_allclose(latents, end**0.5 * x0 + (1 - end) ** 0.5 * eps, atol=1e-5)


@pytest.mark.parametrize("name", ["lcm", "tcd"])
@pytest.mark.parametrize("steps", [2, 4, 8, 50])
def test_stochastic_steps_land_on_the_next_noise_level(name, steps):
    """Old and new noise are independent, so their variances add up to that of the next timestep."""
    plan = SAMPLERS[name].plan(STABLE_DIFFUSION, steps)
    from_x0 = plan.c_x0 + plan.c_latents * plan.alpha
    from_eps = plan.c_eps + plan.c_latents * plan.sigma
    deviation = np.sqrt(from_eps**2 + plan.c_noise**2)
    np.testing.assert_allclose(from_x0[:-1], plan.alpha[1:], rtol=2e-5)
    np.testing.assert_allclose(deviation[:-1], plan.sigma[1:], rtol=2e-5)
    assert np.all(plan.c_noise[:-1] > 0.02)
    assert plan.c_noise[-1] == 0


def test_tcd_gamma_goes_from_no_noise_to_all_noise():
    deterministic = tcd_plan(STABLE_DIFFUSION, 4, gamma=0.0)
    np.testing.assert_array_equal(deterministic.c_noise, 0)
    np.testing.assert_allclose(deterministic.c_eps[:-1], deterministic.sigma[1:], rtol=1e-6)
    all_new = tcd_plan(STABLE_DIFFUSION, 4, gamma=1.0)
    # jumps to timestep 0, whose own noise (sigma 0.029) is all that is left of the old
    assert np.all(all_new.c_eps < 0.03)
    np.testing.assert_allclose(all_new.c_noise[:-1], all_new.sigma[1:], atol=1e-3)


def test_one_step_of_lcm_is_the_networks_picture():
    row = row_of(SAMPLERS["lcm"].plan(STABLE_DIFFUSION, 1), 0)
    assert int(row.timestep) == 999
    latents, x0, eps, noise = jnp.eye(4)
    ours = SAMPLERS["lcm"].step(row, latents, x0, eps, jnp.zeros_like(latents), noise)
    np.testing.assert_allclose(ours, x0, atol=1e-7)


def test_one_step_of_tcd_is_the_networks_picture_at_timestep_0():
    row = row_of(SAMPLERS["tcd"].plan(STABLE_DIFFUSION, 1), 0)
    assert int(row.timestep) == 999
    latents, x0, eps, noise = jnp.eye(4)
    ours = SAMPLERS["tcd"].step(row, latents, x0, eps, jnp.zeros_like(latents), noise)
    beta = 0.00085
    np.testing.assert_allclose(ours, [0, (1 - beta) ** 0.5, beta**0.5, 0], rtol=1e-6)


def test_dpm_solver_uses_the_step_before_except_at_both_ends():
    plan = SAMPLERS["dpmpp_2m"].plan(STABLE_DIFFUSION, 20)
    assert plan.c_previous[0] == plan.c_previous[-1] == 0
    assert np.all(plan.c_previous[1:-1] < 0)
    assert all(np.isfinite(column).all() for column in jax.tree.leaves(plan))


def test_plans_are_float32_and_hold_one_row_per_step():
    for sampler in SAMPLERS.values():
        plan = sampler.plan(STABLE_DIFFUSION, sampler.default_steps)
        assert plan.timestep.dtype == jnp.int32
        for column in jax.tree.leaves(plan):
            assert column.shape == (sampler.default_steps,)
            assert column.dtype in (jnp.int32, jnp.float32)


def test_unknown_sampler_is_an_input_error_that_lists_the_names():
    with pytest.raises(InputError, match=r"sampler='heun'.*ddim, dpmpp_2m, euler, lcm, tcd"):
        get_sampler("heun")
    assert set(SAMPLERS) == {"ddim", "dpmpp_2m", "euler", "lcm", "tcd"}


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_that_no_sampler_takes_are_an_input_error(name, steps):
    with pytest.raises(InputError, match=f"steps={steps}: expected a whole number from 1 to"):
        get_sampler(name).plan(STABLE_DIFFUSION, steps)


@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_distilled_samplers_stop_at_their_grid(name):
    with pytest.raises(InputError, match="steps=51: expected a whole number from 1 to 50"):
        get_sampler(name).plan(STABLE_DIFFUSION, 51)
    short = NoiseSchedule.from_config(ScheduleConfig(num_train_timesteps=49))
    with pytest.raises(InputError, match="at least 50 timesteps, got 49"):
        get_sampler(name).plan(short, 4)


@pytest.mark.parametrize(
    ("spacing", "steps"), [("leading", 998), ("trailing", 1000), ("linspace", 999)]
)
def test_dpm_solver_has_room_for_one_step_less_than_points(spacing, steps):
    schedule = NoiseSchedule.from_config(ScheduleConfig(timestep_spacing=spacing))
    plan = get_sampler("dpmpp_2m").plan(schedule, steps)
    assert all(np.isfinite(column).all() for column in jax.tree.leaves(plan))
    if steps < 1000:
        with pytest.raises(InputError, match=f"steps={steps + 1}: more than"):
            get_sampler("dpmpp_2m").plan(schedule, steps + 1)
