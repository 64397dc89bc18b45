"""The noise schedule against the published code's numbers, and its grids by what they promise."""

import golden_io as golden
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import ScheduleConfig

STABLE_DIFFUSION = NoiseSchedule.from_config(ScheduleConfig())


def channels_last(array):
    return np.moveaxis(array, 1, -1)


def test_tables_equal_the_recording():
    case, _ = golden.load("f_scheduler")
    # the recording multiplies a thousand numbers in float32
    golden.close(STABLE_DIFFUSION.alphas_cumprod, case["out"]["alphas_cumprod"], 1e-6)
    relative = STABLE_DIFFUSION.alphas_cumprod / case["out"]["alphas_cumprod"]
    np.testing.assert_allclose(relative, 1, atol=1e-5)
    golden.close(
        np.asarray(STABLE_DIFFUSION.final_alpha_cumprod), case["out"]["final_alpha_cumprod"], 1e-6
    )


@pytest.mark.parametrize("steps", [4, 7, 30, 50])
def test_timesteps_equal_the_recording(steps):
    case, _ = golden.load("f_scheduler")
    recorded = case["out"][f"ddim_timesteps_{steps}"]
    np.testing.assert_array_equal(STABLE_DIFFUSION.timesteps(steps), recorded)


def test_added_noise_equals_the_recording():
    case, _ = golden.load("f_scheduler")
    count = len(case["in"]["add_noise_t"])
    x0, noise = (
        jnp.asarray(np.repeat(channels_last(case["in"][name]), count, axis=0))
        for name in ("sample", "eps")
    )
    timesteps = jnp.asarray(case["in"]["add_noise_t"], jnp.int32)
    ours = STABLE_DIFFUSION.add_noise(x0, noise, timesteps)
    golden.close(ours, channels_last(case["out"]["add_noise"]), 1e-6)


def test_set_alpha_to_one_ends_at_the_clean_picture():
    schedule = NoiseSchedule.from_config(ScheduleConfig(set_alpha_to_one=True))
    assert schedule.final_alpha_cumprod == 1


def test_the_two_beta_schedules_share_their_ends_only():
    linear = NoiseSchedule.from_config(ScheduleConfig(beta_schedule="linear"))
    for schedule in (linear, STABLE_DIFFUSION):
        np.testing.assert_allclose(schedule.betas[[0, -1]], [0.00085, 0.012], rtol=1e-12)
    np.testing.assert_allclose(np.ptp(np.diff(linear.betas)), 0, atol=1e-15)
    np.testing.assert_allclose(np.ptp(np.diff(np.sqrt(STABLE_DIFFUSION.betas))), 0, atol=1e-15)


def test_variance_is_preserved_down_to_the_first_timestep():
    alpha, sigma = STABLE_DIFFUSION.alpha_sigma(jnp.arange(1000))
    assert alpha.dtype == sigma.dtype == jnp.float32
    total = np.square(alpha, dtype=np.float64) + np.square(sigma, dtype=np.float64)
    np.testing.assert_allclose(total, 1, atol=2e-7)
    # one step of noise: sigma is the root of beta; from a float32 table it could be off by 2e-5
    np.testing.assert_allclose(sigma[0], np.sqrt(0.00085), rtol=1e-7)


def test_noise_comes_out_as_it_went_in():
    rng = np.random.default_rng(0)
    x0, noise = (jnp.asarray(rng.standard_normal((3, 2, 5, 4)), jnp.bfloat16) for _ in range(2))
    timesteps = jnp.array([0, 400, 999])
    noisy = STABLE_DIFFUSION.add_noise(x0, noise, timesteps)
    assert noisy.dtype == jnp.float32
    alphas, sigmas = STABLE_DIFFUSION.alphas, STABLE_DIFFUSION.sigmas
    for row, t in enumerate((0, 400, 999)):
        clean = (
            np.asarray(noisy[row], np.float64) - alphas[t] * np.asarray(x0[row], np.float64)
        ) / sigmas[t]
        np.testing.assert_allclose(clean, np.asarray(noise[row], np.float64), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50, 61, 333])
def test_grids_descend_and_keep_their_promises(steps):
    leading, trailing, linspace = (
        STABLE_DIFFUSION.timesteps(steps, spacing)
        for spacing in ("leading", "trailing", "linspace")
    )
    for grid in (leading, trailing, linspace):
        assert grid.shape == (steps,)
        assert grid.dtype == np.int32
        assert np.all(np.diff(grid) < 0)
        assert 0 <= grid.min() <= grid.max() <= 999
    assert leading[-1] == 1  # the steps_offset
    assert set(np.diff(leading)) <= {-(1000 // steps)}
    assert trailing[0] == 999
    assert np.abs(np.diff(trailing) + 1000 / steps).max(initial=0) <= 1
    assert linspace[-1] == 0
    assert steps == 1 or linspace[0] == 999


def test_spacing_is_the_configs_unless_given():
    schedule = NoiseSchedule.from_config(
        ScheduleConfig(timestep_spacing="trailing", steps_offset=0)
    )
    np.testing.assert_array_equal(schedule.timesteps(4), [999, 749, 499, 249])
    np.testing.assert_array_equal(schedule.timesteps(4, "leading"), [750, 500, 250, 0])
    np.testing.assert_array_equal(schedule.timesteps(3, "leading", extra=1), [750, 500, 250])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, "steps=0: expected a whole number from 1 to 1000"),
        (-3, "steps=-3"),
        (1001, "1 to 1000"),
        (1000, "steps_offset 1"),  # timesteps 1 to 1000, of which the last does not exist
    ],
)
def test_steps_that_do_not_fit_are_an_input_error(steps, expected):
    with pytest.raises(InputError, match=expected):
        STABLE_DIFFUSION.timesteps(steps)


@pytest.mark.parametrize(
    "values",
    [
        {"beta_start": 0.0},
        {"beta_start": 0.02},
        {"beta_end": 1.0},
        {"num_train_timesteps": 0},
        {"steps_offset": -1},
    ],
)
def test_a_config_that_is_no_schedule_is_a_weights_error(values):
    with pytest.raises(WeightsError, match="schedule: expected"):
        NoiseSchedule.from_config(ScheduleConfig(**values))
