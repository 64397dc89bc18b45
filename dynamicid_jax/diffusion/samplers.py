"""The samplers by name, and the one loop that runs any of them.

A sampler is a table of coefficients (plans.py). Between steps the clean latents that the network saw last, x0, are
remembered: multistep samplers use them, and a rough preview of an unfinished picture is made of them.

`denoise_loop` is pure, to be called inside one jitted function that takes `start` and `stop` as
arguments: that program then runs any slice of the steps, so that the host can show progress and
stop between slices. A callback from inside the program would do that too, but programs with
callbacks never enter JAX's persistent compilation cache.

Every picture has its own random key, and the noise of a step is drawn from that key and the step's
number: a picture depends neither on how many others are made with it nor on how steps are sliced.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key, PyTree

from dynamicid_jax.diffusion import plans
from dynamicid_jax.diffusion.parameterization import to_x0_eps
from dynamicid_jax.diffusion.plans import SamplerPlan
from dynamicid_jax.diffusion.schedule import NoiseSchedule, PredictionType
from dynamicid_jax.errors import InputError

Model = Callable[
    [Float[Array, "b ..."], SamplerPlan, Int32[Array, ""]], tuple[Float[Array, "b ..."], Any]
]
"""(latents, row of the plan, step) -> (prediction, aux). Guidance, if any, happens in here."""


@dataclass(frozen=True)
class Sampler:
    """One way from noise to picture.

    Two samplers are equal if they differ in their plans alone, so that they share one compiled loop: DDIM, Euler and
    DPM-Solver++, LCM and TCD.

    Attributes:
        plan: (schedule, steps) -> SamplerPlan. Raises InputError if that many steps do not fit.
        default_steps: what to use where the caller does not say.
        stochastic: whether every step takes noise.
    """

    plan: Callable[[NoiseSchedule, int], SamplerPlan] = field(compare=False)
    default_steps: int = field(compare=False)
    stochastic: bool = False

    def step(
        self,
        row: SamplerPlan,
        latents: Float[Array, "b ..."],
        x0: Float[Array, "b ..."],
        eps: Float[Array, "b ..."],
        previous: Float[Array, "b ..."],
        noise: Float[Array, "b ..."] | None,
    ) -> Float[Array, "b ..."]:
        """One step, formula (1) of plans.py.

        Args:
            row: this step's row of the plan.
            latents: x, where the step starts.
            x0: the clean latents that the network sees in x.
            eps: the noise that it sees there.
            previous: x0 of the step before; before the first step zeros, which its row multiplies by 0.
            noise: standard normal for a stochastic sampler, None for the others.

        Returns:
            The latents after the step.
        """
        result = row.c_latents * latents + row.c_x0 * x0 + row.c_eps * eps
        result += row.c_previous * previous
        return result if noise is None else result + row.c_noise * noise


SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(plans.ddim_plan, default_steps=50),
    "dpmpp_2m": Sampler(plans.dpmpp_2m_plan, default_steps=20),
    "euler": Sampler(plans.euler_plan, default_steps=25),
    "lcm": Sampler(plans.lcm_plan, default_steps=4, stochastic=True),
    "tcd": Sampler(plans.tcd_plan, default_steps=4, stochastic=True),
}


def get_sampler(name: str) -> Sampler:
    """The sampler of that name.

    Raises:
        InputError: there is none; the message lists the names.
    """
    if name not in SAMPLERS:
        raise InputError(f"sampler={name!r}: expected one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LoopState:
    """Where a run stands between two steps.

    Attributes:
        latents: float32.
        x0: the clean latents that the network saw at the last step; zeros before the first.
        keys: one per picture.
        aux_sum: sum of the model's second result over the steps so far, float32.
        first_bad: the first step after which a latent was not finite; -1 while there is none.
    """

    latents: Float[Array, "b ..."]
    x0: Float[Array, "b ..."]
    keys: Key[Array, "b"]
    aux_sum: PyTree
    first_bad: Int32[Array, ""]

    @classmethod
    def start(
        cls,
        latents: Float[Array, "b ..."],
        keys: Key[Array, "b"],
        aux: Any = None,
    ) -> "LoopState":
        """The state before the first step.

        Args:
            latents: standard normal noise, of any float type.
            keys: one per picture; not one that `latents` were drawn from.
            aux: shapes of the model's second result (arrays or ShapeDtypeStructs).
        """
        latents = latents.astype(jnp.float32)
        zeros = jax.tree.map(lambda like: jnp.zeros(like.shape, jnp.float32), aux)
        return cls(latents, jnp.zeros_like(latents), keys, zeros, jnp.int32(-1))


def denoise_loop(
    model: Model,
    sampler: Sampler,
    prediction_type: PredictionType,
    plan: SamplerPlan,
    state: LoopState,
    start: int | Int32[Array, ""],
    stop: int | Int32[Array, ""],
) -> LoopState:
    """Runs the steps start, ..., stop - 1 of the plan; both bounds may be traced."""

    def body(step: Int32[Array, ""], state: LoopState) -> LoopState:
        return _step(model, sampler, prediction_type, plan, step, state)

    return jax.lax.fori_loop(jnp.int32(start), jnp.int32(stop), body, state)


def _step(
    model: Model,
    sampler: Sampler,
    prediction_type: PredictionType,
    plan: SamplerPlan,
    step: Int32[Array, ""],
    state: LoopState,
) -> LoopState:
    """Predict, split into picture and noise, move on, keep the books."""
    row = jax.tree.map(lambda column: column[step], plan)
    prediction, aux = model(state.latents, row, step)
    x0, eps = to_x0_eps(prediction, state.latents, row.alpha, row.sigma, prediction_type)
    noise = _noise(state.keys, step, state.latents.shape[1:]) if sampler.stochastic else None
    latents = sampler.step(row, state.latents, x0, eps, state.x0, noise)
    newly_bad = (state.first_bad < 0) & ~jnp.isfinite(latents).all()
    return LoopState(
        latents=latents,
        x0=x0,
        keys=state.keys,
        aux_sum=jax.tree.map(
            lambda total, new: total + new.astype(jnp.float32), state.aux_sum, aux
        ),
        first_bad=jnp.where(newly_bad, step, state.first_bad),
    )


def _noise(
    keys: Key[Array, "b"], step: Int32[Array, ""], shape: tuple[int, ...]
) -> Float[Array, "b ..."]:
    """Standard normal noise of one step, each picture's from its own key."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, step), shape))(keys)
