"""From a checked request to pictures: project once, run all steps in one compiled loop, decode."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from dynamicid_jax.diffusion.samplers import LoopState, Sampler, get_sampler
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.errors import InputError, SamplingError
from dynamicid_jax.host_memory import trim
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.batches import batch_rows, check_batch
from dynamicid_jax.inference.conditions import Conditioner
from dynamicid_jax.inference.gate_maps import name_gates
from dynamicid_jax.inference.people import PeopleEncoder, Person
from dynamicid_jax.inference.request import Request
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.lora import fold
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Params

PROGRESS_SLICES = 10  # reports per picture; every slice is one call of the same compiled loop
PLAN_ROWS = 64  # the sampler's tables are padded to a multiple of this

PREVIEW_EVERY = 3  # slices; a preview costs one small decode
PREVIEW_CELLS = 32  # the longer side of a preview's latents: 256 px for SD1.5

Progress = Callable[[int, int], None]
Preview = Callable[[Image.Image], None]


@dataclass(frozen=True)
class Generated:
    """Pictures before anybody wrote a recipe for them; see `Output` for the fields."""

    images: list[Image.Image]
    latents: Float[np.ndarray, "n h w c"]
    gate_maps: dict[str, Float[np.ndarray, "n h w"]]
    seconds: dict[str, float]


class Generator:
    """The networks that make pictures, with their weights."""

    def __init__(
        self,
        config: ModelConfig,
        weights: dict[str, Params],
        tokenizer: Tokenizer,
        people: PeopleEncoder,
        dtype: Any,
    ) -> None:
        """Takes over `weights`: the adapter's LoRA is folded into the UNet's kernels in place."""
        base, rest, adapter = weights["unet"], weights.get("adapter", {}), config.adapter
        if adapter is not None:
            base, rest, adapter = fold(base, rest, adapter)
            weights |= {"unet": base, "adapter": rest}  # what was folded is not kept
            trim()
        self.config = replace(config, adapter=adapter)
        self._unet = UNet(config.unet, adapter, dtype, backend=jax.default_backend())
        self._unet_weights = {"params": base, "adapter": rest}
        self._vae = VAE(config.vae)  # float32: half precision shows as banding in flat areas
        self._weights = weights
        self._schedule = NoiseSchedule.from_config(config.schedule)
        self._dtype = dtype
        self._conditioner = Conditioner(
            self.config,
            self._unet,
            self._unet_weights,
            weights["text_encoder"],
            tokenizer,
            people,
            dtype,
        )

    def __call__(
        self,
        request: Request,
        people: Sequence[Person],
        latents: Any = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> Generated:
        """Makes the pictures of one request; see `DynamicIDPipeline.__call__` for the arguments."""
        begin = time.perf_counter()
        noise, keys = self._noise(request, latents)
        conditions = self._conditioner.one(request, tuple(people))
        state, seconds = self._sample(request, conditions, noise, keys, progress, preview)
        sampled = time.perf_counter()
        latents = state.latents[: request.num_images]
        images = self._decode(latents, request)
        done = time.perf_counter()
        sums = jax.tree.map(lambda total: total[: request.num_images], state.aux_sum)
        gates = jax.tree.map(lambda total: np.asarray(total) / request.steps, sums)
        maps = name_gates(gates, *request.latent_size(self.config))
        seconds |= {"decode": done - sampled, "total": done - begin}
        return Generated(images, np.asarray(latents, np.float32), maps, seconds)

    def warm_up(self, request: Request, people: Sequence[Person], preview: bool = False) -> float:
        """Compiles what a request like this one needs, without a step; returns the seconds that it took.

        `preview`: also what previews need, which are smaller than the picture.
        """
        begin = time.perf_counter()
        noise, keys = self._noise(request, None)
        _, state = self._compiled(
            request, self._conditioner.one(request, tuple(people)), noise, keys
        )
        self._decode(state.latents[:1], request)
        if preview:
            self._rough(state, request)
        return time.perf_counter() - begin

    def many(
        self,
        requests: Sequence[Request],
        people: Sequence[Sequence[Person]],
        rows: int | None = None,
    ) -> list[Generated]:
        """One picture for each of many requests, all in one compiled call.

        Prompts, people, boxes, seeds and scales may differ; what `batch_shape` gives may not. A picture is the one
        that a call of its own makes, within rounding.

        Args:
            requests: of one picture each.
            people: of each request.
            rows: pad the batch to this many, so that a last, smaller one needs no other program.

        Raises:
            InputError: requests that do not fit in one batch.
            SamplingError: latents stopped being finite; says at which step.
        """
        check_batch(requests, people)
        begin, count = time.perf_counter(), len(requests)
        places = np.minimum(np.arange(max(count, rows or 0)), count - 1)
        some = [requests[place] for place in places]
        who = [tuple(people[place]) for place in places]
        starts = [self._noise(request, None) for request in some]
        noise, keys = jnp.stack([one for one, _ in starts]), jnp.stack([key for _, key in starts])
        conditions = self._conditioner.many(some, who)
        final, sums = self._sample_many(some[0], conditions, noise, keys)
        latents = final[:count, 0]
        images = self._decode(latents, some[0])
        size = some[0].latent_size(self.config)
        gates = jax.tree.map(lambda total: np.asarray(total) / some[0].steps, sums)
        seconds = {"total": time.perf_counter() - begin}
        return [
            Generated(
                [images[row]],
                latents[row : row + 1],
                name_gates(jax.tree.map(itemgetter(row), gates), *size),
                seconds,
            )
            for row in range(count)
        ]

    def _sample_many(
        self, request: Request, conditions: networks.Conditions, noise: Array, keys: Array
    ) -> tuple[Float[np.ndarray, "r 1 h w c"], Params]:
        """Latents and gate sums of a batch whose requests share this one's sampler and steps."""
        sampler, steps = self._steps(request)
        latents, gates, first_bad = networks.run_many(
            self._unet,
            sampler,
            self._schedule.prediction_type,
            self._unet_weights,
            conditions,
            steps,
            noise,
            keys,
            jnp.int32(request.steps),
        )
        bad = np.asarray(first_bad)
        self._check_finite(int(min(bad[bad >= 0], default=-1)), request.steps)
        return np.asarray(latents, np.float32), gates

    def _noise(self, request: Request, latents: Any) -> tuple[Array, Array]:
        """Initial noise and one key per row for the samplers that draw more; spare rows repeat the last picture."""
        height, width = request.latent_size(self.config)
        shape = (height, width, self.config.vae.latent_channels)
        rows = batch_rows(request.num_images)
        numbers = np.minimum(np.arange(rows), request.num_images - 1)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(request.seed), numbers)
        pairs = jax.vmap(jax.random.split)(keys)
        if latents is None:
            return jax.vmap(lambda key: jax.random.normal(key, shape))(pairs[:, 0]), pairs[:, 1]
        try:
            given = np.asarray(latents, np.float32)
        except (TypeError, ValueError):
            raise InputError(f"latents: expected an array, got {type(latents).__name__}") from None
        given = given[None] if given.ndim == 3 else given
        if given.shape != (request.num_images, *shape):
            raise InputError(
                f"latents: expected shape {(request.num_images, *shape)}, got {given.shape}"
            )
        return jnp.array(given[numbers]), pairs[:, 1]  # a copy: the loop's state is donated

    def _steps(self, request: Request) -> tuple[Sampler, networks.Steps]:
        """The sampler and the table of its steps."""
        sampler = get_sampler(request.sampler)
        # Rows beyond the steps are never read: one compiled loop serves every number of steps up to them.
        spare = (0, -request.steps % PLAN_ROWS)
        plan = sampler.plan(self._schedule, request.steps)
        plan = jax.tree.map(lambda x: jnp.pad(x, spare), plan)
        first, last = request.guided_steps
        guided = None
        if request.guidance_scale > 1 and (first, last) != (0, request.steps):
            numbers = np.arange(request.steps + spare[1])
            guided = jnp.asarray((first <= numbers) & (numbers < last))
        return sampler, networks.make_steps(self._unet, self._unet_weights, plan, guided)

    def _sample(
        self,
        request: Request,
        conditions: networks.Conditions,
        noise: Array,
        keys: Array,
        progress: Progress | None,
        preview: Preview | None,
    ) -> tuple[LoopState, dict[str, float]]:
        """All steps; returns the loop's last state and what took how long."""
        steps = request.steps
        begin = time.perf_counter()
        run, state = self._compiled(request, conditions, noise, keys)
        compiled = time.perf_counter()
        slices = min(steps, PROGRESS_SLICES) if progress or preview else 1
        if progress is not None:
            progress(0, steps)
        bounds = np.linspace(0, steps, slices + 1).astype(int)
        for number, (start, stop) in enumerate(pairwise(bounds), 1):
            state = run(state, int(start), int(stop))
            self._check_finite(int(state.first_bad), steps)
            if progress is not None:
                progress(int(stop), steps)
            if preview is not None and number % PREVIEW_EVERY == 0 and stop < steps:
                preview(self._rough(state, request))
        sampling = time.perf_counter() - compiled
        seconds = {
            "compile": compiled - begin,
            "sample": sampling,
            "steps_per_second": steps / sampling,
        }
        return state, seconds

    def _compiled(
        self, request: Request, conditions: networks.Conditions, noise: Array, keys: Array
    ) -> tuple[Callable[[LoopState, int, int], LoopState], LoopState]:
        """The compiled loop as (state, start, stop) -> state, and the state before the first step."""
        sampler, table = self._steps(request)
        state = networks.start_state(self._unet, self._unet_weights, conditions, table, noise, keys)
        state = _beside(state, self._unet_weights)

        def run(state: LoopState, start: int, stop: int) -> LoopState:
            bounds = jnp.int32(start), jnp.int32(stop)
            kind = self._schedule.prediction_type
            done = networks.run_steps(
                self._unet, sampler, kind, self._unet_weights, conditions, table, state, *bounds
            )
            return jax.block_until_ready(done)

        return run, run(state, 0, 0)  # no step: compiles the loop, or finds it compiled

    def _check_finite(self, first_bad: int, steps: int) -> None:
        if first_bad >= 0:
            raise SamplingError(
                f"sampling: latents are not finite after step {first_bad + 1} of {steps} in "
                f"{jnp.dtype(self._dtype).name}; try dtype float32, a lower guidance scale, or check the weights"
            )

    def _rough(self, state: LoopState, request: Request) -> Image.Image:
        """The first picture as the network sees it now, decoded at `PREVIEW_CELLS` cells or less."""
        x0 = state.x0[:1]
        _, height, width, channels = x0.shape
        scale = min(1.0, PREVIEW_CELLS / max(height, width))
        if scale < 1:
            cells = max(1, round(height * scale)), max(1, round(width * scale))
            x0 = jax.image.resize(x0, (1, *cells, channels), "linear")
        return self._decode(x0, request)[0]

    def _decode(self, latents: Any, request: Request) -> list[Image.Image]:
        """Sampled latents [n h w c] to pictures, by a program that does not depend on how many there are."""
        cells = request.vae_tile and request.vae_tile // self.config.vae.downscale
        rows = [jnp.asarray(latents[row : row + 1]) for row in range(len(latents))]
        levels = [networks.decode(self._vae, self._weights["vae"], row, cells) for row in rows]
        return [Image.fromarray(np.asarray(one)[0]) for one in levels]


def _beside(state: LoopState, weights: Params) -> LoopState:
    """The loop's first state where weights are held to a device, as training's are: there it comes out of a slice.

    A state that may lie anywhere would be one program, and what comes out of it another.
    """
    leaf = jax.tree.leaves(weights)[0]
    held = isinstance(leaf, jax.Array) and leaf.committed and len(leaf.devices()) == 1
    return jax.device_put(state, leaf.sharding) if held else state
