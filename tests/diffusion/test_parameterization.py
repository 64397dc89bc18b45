"""What the network predicts: inverses, and the identities that define the two kinds."""

import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.diffusion.guidance import classifier_free_guidance
from dynamicid_jax.diffusion.parameterization import target, to_x0_eps
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.models.configs import ScheduleConfig

KINDS = ("epsilon", "v_prediction")


def draw(shape, seed, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_prediction_gives_back_picture_and_noise(kind):
    schedule = NoiseSchedule.from_config(ScheduleConfig())
    timesteps = jnp.array([0, 1, 500, 981, 999])
    x0, noise = draw((5, 2, 3, 4), 0), draw((5, 2, 3, 4), 1)
    alpha, sigma = schedule.alpha_sigma(timesteps)
    noisy = schedule.add_noise(x0, noise, timesteps)
    prediction = target(x0, noise, alpha, sigma, kind)
    got_x0, got_noise = to_x0_eps(prediction, noisy, alpha, sigma, kind)
    np.testing.assert_allclose(got_x0, x0, atol=1e-5)
    np.testing.assert_allclose(got_noise, noise, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_any_prediction_splits_the_latents_into_parts_that_add_up(kind):
    """Holds for wrong predictions too: a sampler relies on alpha x0 + sigma eps = x."""
    alpha, sigma = jnp.float32(0.6), jnp.float32(0.8)
    noisy, prediction = draw((2, 3, 4), 2), draw((2, 3, 4), 3)
    x0, eps = to_x0_eps(prediction, noisy, alpha, sigma, kind)
    np.testing.assert_allclose(alpha * x0 + sigma * eps, noisy, atol=1e-6)


def test_velocity_is_noise_at_the_clean_end_and_minus_the_picture_at_the_noisy_end():
    x0, noise = draw((2, 4), 4), draw((2, 4), 5)
    one, zero = jnp.float32(1), jnp.float32(0)
    np.testing.assert_array_equal(target(x0, noise, one, zero, "v_prediction"), noise)
    np.testing.assert_array_equal(target(x0, noise, zero, one, "v_prediction"), -x0)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_read_but_not_computed_in(kind):
    alpha, sigma = jnp.float32(0.068), jnp.float32(0.9977)
    noisy, prediction = (draw((2, 3, 4), seed, jnp.bfloat16) for seed in (6, 7))
    in_float = to_x0_eps(
        prediction.astype(jnp.float32), noisy.astype(jnp.float32), alpha, sigma, kind
    )
    for ours, expected in zip(
        to_x0_eps(prediction, noisy, alpha, sigma, kind), in_float, strict=True
    ):
        assert ours.dtype == jnp.float32
        np.testing.assert_array_equal(ours, expected)


def test_guidance_takes_the_unconditional_rows_first():
    unconditional, conditional = draw((2, 3, 4), 8), draw((2, 3, 4), 9)
    rows = jnp.concatenate([unconditional, conditional])
    np.testing.assert_array_equal(classifier_free_guidance(rows, 0.0), unconditional)
    np.testing.assert_allclose(classifier_free_guidance(rows, 1.0), conditional, atol=1e-6)
    # scale 5: past the conditional prediction, by four times its distance from the unconditional
    far = classifier_free_guidance(rows, jnp.float32(5))
    np.testing.assert_allclose(far - conditional, 4 * (conditional - unconditional), atol=1e-5)


def test_guidance_is_computed_in_float32():
    rows = draw((4, 3), 10, jnp.bfloat16)
    ours = classifier_free_guidance(rows, 7.5)
    assert ours.dtype == jnp.float32
    np.testing.assert_array_equal(ours, classifier_free_guidance(rows.astype(jnp.float32), 7.5))
