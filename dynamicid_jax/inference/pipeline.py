"""The one generation path: prompt and people in, pictures, latents, gate maps and recipe out.

    pipe = DynamicIDPipeline.from_pretrained("model_folder", face_pack="pack_folder")
    alice = pipe.person("alice.png", box=(0.05, 0.1, 0.45, 0.6))
    out = pipe("a woman in a garden", people=[alice], seed=0)
    out.images[0].save("out.png")

A call projects text and faces to keys and values once, then runs all steps in one compiled loop, then decodes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.diffusion.samplers import Sampler, get_sampler
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.errors import InputError, MissingPartError, SamplingError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.reference import Which
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.gate_maps import name_gates
from dynamicid_jax.inference.layout import face_layout, map_sizes, resolve_boxes
from dynamicid_jax.inference.people import PeopleEncoder, Person, mix_people
from dynamicid_jax.inference.recipe import fingerprint, versions
from dynamicid_jax.inference.request import Request
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.lora import fold
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Number, Params

PROGRESS_SLICES = (
    10  # how often progress is told per picture; every slice is one call of the same compiled loop
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Output:
    """What a call returns.

    Attributes:
        images: PIL images, RGB.
        latents: float32 [n, h, w, 4] at the end of sampling, scaled (divide by the VAE's scaling factor to decode).
        gate_maps: per cross-attention [n, h, w] in [0, 1], mean over the steps, before layout strength; empty without
            people or without the gate.
        metadata: "recipe" (everything that made the pictures), "quality" (verdicts of the reference photos) and
            "seconds" (compile, sample, decode, steps_per_second).
    """

    images: list[Image.Image]
    latents: Float[np.ndarray, "n h w c"]
    gate_maps: dict[str, Float[np.ndarray, "n h w"]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


class DynamicIDPipeline:
    """A loaded model, ready to make people and pictures."""

    def __init__(
        self,
        config: ModelConfig,
        weights: dict[str, Params],
        tokenizer: Tokenizer,
        face_pack: FacePack | None = None,
        *,
        dtype: Any = None,
        name: str = "model",
    ) -> None:
        """Takes over `weights`: the adapter's LoRA is folded into the UNet's kernels in place."""
        self.dtype = _dtype(dtype)
        self.name = name
        self.fingerprint = fingerprint(config, weights)
        adapter = config.adapter
        self._unet_weights = {"params": weights["unet"], "adapter": weights.get("adapter", {})}
        if adapter is not None:
            base, rest, adapter = fold(weights["unet"], weights["adapter"], adapter)
            self._unet_weights = {"params": base, "adapter": rest}
        self._unet = UNet(config.unet, adapter, self.dtype)
        self._text_encoder = TextEncoder(config.text_encoder, self.dtype)
        self._vae = VAE(config.vae)  # float32: half precision shows as banding in flat areas
        self._weights = weights
        self._tokenizer = tokenizer
        self._schedule = NoiseSchedule.from_config(config.schedule)
        self.config = config
        self.face_pack = face_pack
        self._people = PeopleEncoder(config, weights, tokenizer, face_pack)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dtype: Any = None,
        face_pack: str | Path | FacePack | None = None,
        image_encoder: str | Path | None = None,
        adapter: str | Path | None = None,
        imr: str | Path | None = None,
        keypoint_encoder: str | Path | None = None,
    ) -> "DynamicIDPipeline":
        """Loads a model folder (`model.json`) or the published layout (a diffusers folder beside SAA.bin, ...).

        Args:
            path: the folder.
            dtype: of the weights, and of the UNet's and text encoder's arithmetic: "float32", "bfloat16" or
                "float16"; None is float32 on a CPU and bfloat16 elsewhere.
            face_pack: folder or name of an insightface pack, or a loaded one; None takes the model
                folder's own, if any.
            image_encoder: a CLIP vision folder, where it is not in `path`.
            adapter: SAA.bin or the like, where it is not in `path`.
            imr: IMR.bin, likewise.
            keypoint_encoder: key_point_encoder.bin, likewise.

        Raises:
            InputError: no such folder.
            WeightsError: weights missing, damaged or of the wrong size.
            MissingPartError: torch is needed to read a .bin file, or the face pack is not there.
        """
        chosen = _dtype(dtype)
        config, weights, tokenizer_folder, own_pack = load_any(
            path,
            adapter=adapter,
            imr=imr,
            keypoint_encoder=keypoint_encoder,
            image_encoder=image_encoder,
            dtype=chosen,
        )
        pack = face_pack if face_pack is not None else own_pack
        if pack is not None and not isinstance(pack, FacePack):
            pack = FacePack.load(pack)
        tokenizer = Tokenizer(tokenizer_folder, config.text_encoder.max_length)
        return cls(config, weights, tokenizer, pack, dtype=chosen, name=Path(path).resolve().name)

    @property
    def token_shape(self) -> tuple[int, int]:
        """Shape [t, x] of one person's face tokens."""
        return self._people.token_shape

    def person(
        self,
        photo: Any = None,
        *,
        face: str | None = None,
        pose: Any = None,
        box: Sequence[Number] | None = None,
        face_tokens: Any = None,
        which: Which = None,
        source_face: str | None = None,
    ) -> Person:
        """A person from a photo, several photos, or given tokens; see `PeopleEncoder.from_photos` for the arguments.

        Raises:
            InputError: also for photo and face_tokens given together, or tokens with face or pose.
        """
        if (photo is None) == (face_tokens is None):
            raise InputError("person: expected either photo(s) or face_tokens")
        if face_tokens is not None:
            if face is not None or pose is not None:
                raise InputError(
                    "person: face and pose need a photo, whose motion they replace; got face_tokens"
                )
            return self._people.from_tokens(face_tokens, box)
        photos = list(photo) if isinstance(photo, list | tuple) else [photo]
        return self._people.from_photos(
            photos, face=face, pose=pose, box=box, which=which, source_face=source_face
        )

    def mix(
        self, parts: Sequence[tuple[Person, Number]], box: Sequence[Number] | None = None
    ) -> Person:
        """One person made of several, by weight (scaled to sum to 1)."""
        return mix_people(parts, box)

    def __call__(
        self,
        prompt: str,
        people: Sequence[Person] = (),
        *,
        negative_prompt: str = "",
        height: int | None = None,
        width: int | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance_scale: Number = 5.0,
        seed: int = 0,
        num_images: int = 1,
        gate: bool = True,
        identity_scale: Number = 1.0,
        layout_strength: Number = 2.0,
        layout_steps: int | None = None,
        latents: Any = None,
        progress: Progress | None = None,
    ) -> Output:
        """Makes `num_images` pictures.

        Args:
            prompt: what the picture shows; 77 tokens at most.
            people: who is in it; none: plain text-to-image.
            negative_prompt: what it should not show.
            height: pixels, a multiple of 64; None: the model's own.
            width: likewise.
            steps: sampling steps; None: the model's own.
            sampler: ddim, dpmpp_2m, euler, lcm or tcd; None: the model's own.
            guidance_scale: of classifier-free guidance; 1 or less switches it off.
            seed: picture i depends on the seed and i alone, not on `num_images`.
            num_images: pictures to make.
            gate: False switches gate and layout off (ablation).
            identity_scale: factor of the face branch.
            layout_strength: s >= 0 of METHOD section 3, in boxes, for the first `layout_steps` steps.
            layout_steps: None: round(0.24 * steps).
            latents: initial noise of unit deviation [n, h, w, 4], instead of the seed's.
            progress: called with (steps done, steps) as sampling goes on; an exception raised in it cancels.

        Raises:
            InputError: an argument out of range.
            SamplingError: latents stopped being finite; says at which step.
        """
        request = Request.resolve(
            self.config,
            prompt=prompt,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            steps=steps,
            sampler=sampler,
            guidance_scale=guidance_scale,
            seed=seed,
            num_images=num_images,
            gate=gate,
            identity_scale=identity_scale,
            layout_strength=layout_strength,
            layout_steps=layout_steps,
        )
        people = tuple(people)
        begin = time.perf_counter()
        conditions = self._conditions(request, people)
        noise, keys = self._noise(request, latents)
        final, gates, seconds = self._sample(request, conditions, noise, keys, progress)
        decode_begin = time.perf_counter()
        pictures = self._decode(final)
        seconds |= {
            "decode": time.perf_counter() - decode_begin,
            "total": time.perf_counter() - begin,
        }
        recipe = {
            **request.to_recipe(),
            "people": [person.recipe for person in people],
            "latents": "given" if latents is not None else "from seed",
            "model": {
                "name": self.name,
                "fingerprint": self.fingerprint,
                "weights": self.config.weights,
            },
            "dtype": jnp.dtype(self.dtype).name,
            "backend": jax.default_backend(),
            "versions": versions(),
        }
        verdicts = [verdict.to_json() for person in people for verdict in person.quality]
        maps = name_gates(gates, *request.latent_size(self.config))
        return Output(
            pictures, final, maps, {"recipe": recipe, "quality": verdicts, "seconds": seconds}
        )

    def _conditions(self, request: Request, people: tuple[Person, ...]) -> networks.Conditions:
        """Text and faces projected to keys and values, and the layout."""
        guided = request.guidance_scale > 1
        prompts = [request.negative_prompt, request.prompt] if guided else [request.prompt]
        ids = self._tokenizer(prompts)
        text, _ = networks.encode_text(self._text_encoder, self._weights["text_encoder"], ids)
        faces, layout = self._faces(request, people, guided) if people else (None, None)
        contexts = networks.project(self._unet, self._unet_weights, text, faces, request.num_images)
        return networks.Conditions(
            contexts=contexts,
            layout=layout,
            layout_strength=jnp.float32(request.layout_strength),
            layout_steps=jnp.int32(request.layout_steps),
            guidance_scale=jnp.float32(request.guidance_scale),
            guided=guided,
        )

    def _faces(
        self, request: Request, people: tuple[Person, ...], guided: bool
    ) -> tuple[Float[Array, "b p t x"], Any]:
        """Everybody's tokens (under guidance after as many tokens of nobody), and who goes where."""
        if self.config.adapter is None:
            raise MissingPartError(
                "people: this model has no adapter (SAA.bin); use a DynamicID model, or pass adapter=FILE"
            )
        tokens = jnp.stack([member for person in people for member, _ in person.members])
        slots = [slot for slot, person in enumerate(people) for _ in person.members]
        shares = [share for person in people for _, share in person.members]
        mix = np.zeros((len(slots), len(people)), np.float32)
        mix[np.arange(len(slots)), slots] = shares
        boxes = resolve_boxes([person.box for person in people])
        sizes = map_sizes(*request.latent_size(self.config), len(self.config.unet.block_channels))
        layout = face_layout(
            boxes, jnp.asarray(mix), sizes, identity_scale=request.identity_scale, gate=request.gate
        )
        rows = [tokens]
        if guided:
            nobody = self._people.unconditional()
            rows = [jnp.broadcast_to(nobody[None], tokens.shape), tokens]
        return jnp.stack(rows), layout

    def _noise(self, request: Request, latents: Any) -> tuple[Array, Array]:
        """Initial noise and one key per picture for the samplers that draw more."""
        height, width = request.latent_size(self.config)
        shape = (height, width, self.config.vae.latent_channels)
        numbers = jnp.arange(request.num_images)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(request.seed), numbers)
        pairs = jax.vmap(jax.random.split)(keys)
        if latents is None:
            return jax.vmap(lambda key: jax.random.normal(key, shape))(pairs[:, 0]), pairs[:, 1]
        given = np.asarray(latents, np.float32)
        given = given[None] if given.ndim == 3 else given
        if given.shape != (request.num_images, *shape):
            raise InputError(
                f"latents: expected shape {(request.num_images, *shape)}, got {given.shape}"
            )
        return jnp.asarray(given), pairs[:, 1]

    def _sample(
        self,
        request: Request,
        conditions: networks.Conditions,
        noise: Array,
        keys: Array,
        progress: Progress | None,
    ) -> tuple[np.ndarray, Params, dict[str, float]]:
        """All steps; returns latents, mean gate maps and seconds."""
        sampler: Sampler = get_sampler(request.sampler)
        steps = request.steps
        plan = jax.tree.map(jnp.asarray, sampler.plan(self._schedule, steps))
        state = networks.start_state(
            self._unet, sampler, self._unet_weights, conditions, plan, noise, keys
        )

        def run(state: Any, start: int, stop: int) -> Any:
            bounds = jnp.int32(start), jnp.int32(stop)
            kind = self._schedule.prediction_type
            done = networks.run_steps(
                self._unet, sampler, kind, self._unet_weights, conditions, plan, state, *bounds
            )
            return jax.block_until_ready(done)

        begin = time.perf_counter()
        state = run(state, 0, 0)  # no step: compiles the loop, or finds it compiled
        compiled = time.perf_counter()
        edges = np.linspace(0, steps, min(steps, PROGRESS_SLICES if progress else 1) + 1).astype(
            int
        )
        for start, stop in pairwise(edges):
            state = run(state, int(start), int(stop))
            self._check_finite(int(state.first_bad), steps)
            if progress is not None:
                progress(int(stop), steps)
        sampling = time.perf_counter() - compiled
        gates = jax.tree.map(lambda total: np.asarray(total) / steps, state.aux_sum)
        seconds = {
            "compile": compiled - begin,
            "sample": sampling,
            "steps_per_second": steps / sampling,
        }
        return np.asarray(state.latents, np.float32), gates, seconds

    def _check_finite(self, first_bad: int, steps: int) -> None:
        if first_bad >= 0:
            raise SamplingError(
                f"sampling: latents are not finite after step {first_bad + 1} of {steps} in "
                f"{jnp.dtype(self.dtype).name}; try dtype float32, a lower guidance scale, or check the weights"
            )

    def _decode(self, latents: np.ndarray) -> list[Image.Image]:
        scaled = jnp.asarray(latents) / self.config.vae.scaling_factor
        pixels = np.asarray(networks.decode(self._vae, self._weights["vae"], scaled))
        levels = np.round(np.clip(pixels / 2 + 0.5, 0, 1) * 255).astype(np.uint8)
        return [Image.fromarray(one) for one in levels]


def _dtype(name: Any) -> Any:
    """The dtype by name or value; None: float32 on a CPU, where bfloat16 is slow, and bfloat16 elsewhere."""
    if name is None:
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    allowed = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
    try:
        return allowed[jnp.dtype(name).name]
    except (TypeError, KeyError):
        raise InputError(f"dtype: expected one of {', '.join(allowed)}, got {name!r}") from None
