"""The one generation path: prompt and people in, pictures, latents, gate maps and recipe out.

    pipe = DynamicIDPipeline.from_pretrained("model_folder", face_pack="pack_folder")
    alice = pipe.person("alice.png", box=(0.05, 0.1, 0.45, 0.6))
    out = pipe("a woman in a garden", people=[alice], seed=0)
    out.images[0].save("out.png")

A call projects text and faces to keys and values once, then runs all steps in one compiled loop, then decodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.reference import Which
from dynamicid_jax.inference.generator import Generated, Generator, Progress
from dynamicid_jax.inference.people import PeopleEncoder, Person, mix_people
from dynamicid_jax.inference.recipe import fingerprint, versions
from dynamicid_jax.inference.request import Request
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.types import Number, Params


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
        self.config = config
        self.dtype = _dtype(dtype)
        self.name = name
        self.face_pack = face_pack
        self.fingerprint = fingerprint(config, weights)
        self._people = PeopleEncoder(config, weights, tokenizer, face_pack)
        self._generate = Generator(config, weights, tokenizer, self._people, self.dtype)
        self.config = self._generate.config  # with LoRA folded

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
            adapter: SAA.bin or the like, where it is not in `path`; or a folder (adapter.json, model.json, or SAA.bin
                and its like), whose every network then goes on top of this model's base.
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
            if any(value is not None for value in (face, pose, which, source_face)):
                raise InputError(
                    "person: face, pose, which and source_face need a photo; got face_tokens"
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
            height: pixels, a multiple of 64 (another model than SD1.5: `size_step`); None: the model's own.
            width: likewise.
            steps: sampling steps; None: the model's own, or another sampler's usual number.
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
        given = _checked_people(people)
        made = self._generate(request, given, latents, progress)
        return self._output(request, given, made, "from seed" if latents is None else "given")

    def many(self, calls: Sequence[Mapping[str, Any]], rows: int | None = None) -> list[Output]:
        """Many different calls in one compiled batch, one picture each.

        Args:
            calls: arguments of `__call__` by name, without `num_images`, `latents` and `progress`. Prompts, people,
                boxes, seeds, scales and layout may differ; size, sampler, steps, `gate`, whether there is guidance,
                how many people there are and whether they have boxes may not.
            rows: pad the batch to this many, so that a last, smaller batch needs no other program.

        Returns:
            What each call would have made by itself, within rounding.

        Raises:
            InputError: an argument out of range, or calls that do not fit together.
            SamplingError: latents stopped being finite; says at which step.
        """
        people = [_checked_people(call.get("people", ())) for call in calls]
        plain = [{name: call[name] for name in call if name != "people"} for call in calls]
        requests = [Request.resolve(self.config, **call) for call in plain]
        made = self._generate.many(requests, people, rows)
        rows_of = zip(requests, people, made, strict=True)
        return [self._output(*row, "from seed") for row in rows_of]

    def _output(
        self, request: Request, people: tuple[Person, ...], made: Generated, latents: str
    ) -> Output:
        """Pictures with their recipe."""
        recipe = {
            **request.to_recipe(),
            "people": [person.recipe for person in people],
            "latents": latents,
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
        metadata = {"recipe": recipe, "quality": verdicts, "seconds": made.seconds}
        return Output(made.images, made.latents, made.gate_maps, metadata)


def _checked_people(people: Any) -> tuple[Person, ...]:
    given = tuple(people) if isinstance(people, Sequence) else (people,)
    if not all(isinstance(person, Person) for person in given):
        raise InputError("people: expected persons made by pipe.person or pipe.mix")
    return given


def _dtype(name: Any) -> Any:
    """The dtype by name or value; None: float32 on a CPU, where bfloat16 is slow, and bfloat16 elsewhere."""
    if name is None:
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    allowed = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
    try:
        return allowed[jnp.dtype(name).name]
    except (TypeError, KeyError):
        raise InputError(f"dtype: expected one of {', '.join(allowed)}, got {name!r}") from None
