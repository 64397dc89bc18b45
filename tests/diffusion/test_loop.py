"""The sampling loop: slices, pictures side by side, one compilation, bookkeeping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.diffusion.samplers import SAMPLERS, LoopState, denoise_loop
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.models.configs import ScheduleConfig

SCHEDULE = NoiseSchedule.from_config(ScheduleConfig())
STEPS = 7
SHAPE = (3, 5, 4)
NAMES = list(SAMPLERS)


def model(latents, row, step):
    """Not linear, mixes positions, and has a second result that depends on the step."""
    rolled = jnp.roll(latents, 1, axis=1)
    prediction = jnp.tanh(0.8 * latents + 0.1 * rolled) * (1 + row.timestep / 2000)
    return prediction, {"mean": latents.mean((1, 2, 3)), "step": step.astype(jnp.bfloat16)}


def keys_of(count):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(5), jnp.arange(count))


def start(count=2, dtype=jnp.float32):
    latents = np.random.default_rng(1).standard_normal((3, *SHAPE))[:count]
    aux = {"mean": jax.ShapeDtypeStruct((count,), jnp.float32), "step": jnp.bfloat16(0)}
    return LoopState.start(jnp.asarray(latents, dtype), keys_of(count), aux)


def runner(name, network=model):
    """The compiled loop, and a list that grows by one at every trace of the network."""
    plan = SAMPLERS[name].plan(SCHEDULE, STEPS)
    traces = []

    def counted(latents, row, step):
        traces.append(1)
        return network(latents, row, step)

    @jax.jit
    def run(state, first, last):
        return denoise_loop(counted, SAMPLERS[name], "epsilon", plan, state, first, last)

    return run, traces


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_slices_give_the_same_bits_from_one_trace(name):
    run, traces = runner(name)
    whole = run(start(), 0, STEPS)
    traced = len(traces)
    for cuts in ([3], [1, 6], list(range(1, STEPS))):
        state = start()
        for first, last in zip([0, *cuts], [*cuts, STEPS], strict=True):
            state = run(state, first, last)
        assert_same(state, whole)
    assert len(traces) == traced  # no slice was compiled anew
    assert run._cache_size() == 1


@pytest.mark.parametrize("name", NAMES)
def test_no_steps_change_nothing(name):
    run, _ = runner(name)
    state = start()
    assert_same(run(state, 2, 2), state)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_does_not_depend_on_the_others(name):
    run, _ = runner(name)
    together, alone = run(start(3), 0, STEPS), run(start(1), 0, STEPS)
    np.testing.assert_allclose(together.latents[:1], alone.latents, rtol=1e-6, atol=1e-6)
    assert np.abs(together.latents[0] - together.latents[1]).max() > 0.1


@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_noise_is_standard_normal_and_new_for_every_step_and_picture(name):
    """A network that always sees a black picture leaves nothing but this step's noise."""
    plan = SAMPLERS[name].plan(SCHEDULE, STEPS)
    black = lambda latents, row, step: (jnp.zeros_like(latents), None)  # noqa: E731
    noises = []
    for step in range(STEPS - 1):
        state = LoopState.start(jnp.zeros((2, 16, 16, 4)), keys_of(2))
        state = denoise_loop(black, SAMPLERS[name], "epsilon", plan, state, step, step + 1)
        noises.extend(np.asarray(state.latents / plan.c_noise[step]).reshape(2, -1))
    noises = np.stack(noises)
    covariance = noises @ noises.T / noises.shape[1]
    # 1024 numbers each: deviation 0.03 of a correlation, 0.044 of a variance
    np.testing.assert_allclose(covariance, np.eye(len(noises)), atol=0.2)
    np.testing.assert_allclose(noises.mean(), 0, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_are_drawn_only_by_stochastic_samplers(name):
    run, _ = runner(name)
    program = str(jax.make_jaxpr(run)(start(), 0, STEPS))
    assert ("random_bits" in program) == SAMPLERS[name].stochastic


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_latents_are_stepped_in_float32(name):
    seen = []

    def network(latents, row, step):
        seen.append(latents.dtype)
        prediction, aux = model(latents, row, step)
        return prediction.astype(jnp.bfloat16), aux

    run, _ = runner(name, network)
    state = run(start(dtype=jnp.bfloat16), 0, STEPS)
    assert state.latents.dtype == jnp.float32
    assert set(seen) == {jnp.dtype(jnp.float32)}
    # float32 all along: the result is no bfloat16 number
    assert np.any(state.latents != state.latents.astype(jnp.bfloat16).astype(jnp.float32))


def test_second_results_are_summed_over_the_steps_in_float32():
    run, _ = runner("ddim")
    state = start()
    means = []
    for step in range(STEPS):
        means.append(np.asarray(state.latents).mean((1, 2, 3)))
        state = run(state, step, step + 1)
    assert state.aux_sum["step"].dtype == jnp.float32
    assert float(state.aux_sum["step"]) == sum(range(STEPS))
    np.testing.assert_allclose(state.aux_sum["mean"], np.sum(means, axis=0), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_that_is_not_finite_is_named(name):
    plan = SAMPLERS[name].plan(SCHEDULE, STEPS)

    @jax.jit
    def run(state, first, last, at, bad):
        def network(latents, row, step):
            prediction, aux = model(latents, row, step)
            # one number of one picture in one step; what follows stays bad by itself
            spoiled = prediction.at[1, 0, 0, 0].set(bad)
            return jnp.where(step == at, spoiled, prediction), aux

        return denoise_loop(network, SAMPLERS[name], "epsilon", plan, state, first, last)

    # 3e38 is finite; divided by the first step's alpha it overflows, which leaves inf and no NaN
    for bad, at in [(np.nan, 0), (np.nan, 3), (np.inf, 3), (np.inf, STEPS - 1), (3e38, 0)]:
        assert int(run(start(), 0, at, at, bad).first_bad) == -1
        whole = run(start(), 0, STEPS, at, bad)
        assert int(whole.first_bad) == at
        assert np.isfinite(whole.latents[0]).all()
        sliced = run(run(start(), 0, 4, at, bad), 4, STEPS, at, bad)
        assert int(sliced.first_bad) == at
    overflown = run(start(), 0, 1, 0, 3e38).latents
    assert np.isinf(overflown).any()
    assert not np.isnan(overflown).any()
