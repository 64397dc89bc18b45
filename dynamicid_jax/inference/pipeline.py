"""The one generation path: prompt and people in, pictures, latents, gate maps and recipe out.

    pipe = DynamicIDPipeline.from_pretrained("model_folder", face_pack="pack_folder")
    alice = pipe.person("alice.png", box=(0.05, 0.1, 0.45, 0.6))
    out = pipe("a woman in a garden", people=[alice], seed=0)
    out.images[0].save("out.png")

A call projects text and faces to keys and values once, then runs all steps in one compiled loop, then decodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from PIL import Image

from dynamicid_jax.convert.load import load_any, own_safety_checker
from dynamicid_jax.convert.lora_files import LoRAs, add_loras
from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.prompts import fill_faces
from dynamicid_jax.faces.reference import Which
from dynamicid_jax.inference.auto_layout import Layout, find_layout
from dynamicid_jax.inference.generator import Generated, Generator, Preview, Progress
from dynamicid_jax.inference.layout import AutoBox, check_place, place_json, strips
from dynamicid_jax.inference.people import PeopleEncoder, Person, Place, mix_people
from dynamicid_jax.inference.person_file import (
    is_person_file,
    load_person,
    save_person,
    token_space,
)
from dynamicid_jax.inference.recipe import fingerprint, picture_recipe
from dynamicid_jax.inference.request import Request, check_number
from dynamicid_jax.inference.safety import SafetyCheck, SafetyChecker, blacken
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.provenance.consent import check_consent
from dynamicid_jax.types import Box, Number, Params


@dataclass(frozen=True)
class Output:
    """What a call returns.

    Attributes:
        images: PIL images, RGB.
        latents: float32 [n, h, w, 4] at the end of sampling, scaled (divide by the VAE's scaling factor to decode).
        gate_maps: per cross-attention [n, h, w] in [0, 1], mean over the steps, before layout strength; empty without
            people or without the gate.
        metadata: "recipe" (everything that made the pictures), "quality" (verdicts of the reference photos),
            "seconds" (compile, sample, decode, steps_per_second), with box="auto" "layout" (see `Layout.to_json`) and,
            of a model with a safety checker, "flagged" (which pictures it blackened).
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
        safety_checker: SafetyCheck | None = None,
        loras: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Takes over `weights`: the adapter's LoRA is folded into the UNet's kernels in place.

        `safety_checker` is given all pictures of a call; those that it flags are blackened.
        `loras` is what recipes say of LoRA files that `weights` have in them already.
        """
        self.config = config
        self.dtype = _dtype(dtype)
        self.name = name
        self.face_pack = face_pack
        self.safety_checker = safety_checker
        self.loras = list(loras)
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
        lora: LoRAs | None = None,
    ) -> "DynamicIDPipeline":
        """Loads a model folder (`model.json`) or the published layout (a diffusers folder beside SAA.bin, ...).

        A checkpoint's safety checker (safety_checker/) is loaded with it and looks at every picture.

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
            lora: LoRA files for the base in kohya's or diffusers' names (LCM, Hyper-SD, styles): a file, or a list of
                files or of (file, scale). They are added to the base's weights, beside DynamicID's own.

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
        loras = add_loras(weights, config, lora)
        pack = face_pack if face_pack is not None else own_pack
        if pack is not None and not isinstance(pack, FacePack):
            pack = FacePack.load(pack)
        tokenizer = Tokenizer(tokenizer_folder, config.text_encoder.max_length)
        checker = own_safety_checker(path)
        return cls(
            config,
            weights,
            tokenizer,
            pack,
            dtype=chosen,
            name=Path(path).resolve().name,
            safety_checker=None if checker is None else SafetyChecker.load(checker),
            loras=loras,
        )

    @property
    def token_shape(self) -> tuple[int, int]:
        """Shape [t, x] of one person's face tokens."""
        return self._people.token_shape

    def check_editable(self) -> None:
        """Whether `face=` and `pose=` can be asked of this model.

        Raises:
            MissingPartError: the model has no IMR, or its face pack lacks the landmarks; says which.
        """
        self._people.check_editable()

    def person(
        self,
        photo: Any = None,
        *,
        face: str | None = None,
        pose: Any = None,
        box: Place = None,
        face_tokens: Any = None,
        which: Which = None,
        source_face: str | None = None,
        consent: str | Path | None = None,
        strength: Number = 1.0,
    ) -> Person:
        """A person from a photo, several photos, a person file, or given tokens.

        See `PeopleEncoder.from_photos` for the arguments; `photo` may also name a file that `save_person` wrote.

        Raises:
            InputError: also for photo and face_tokens given together, or tokens with face or pose.
        """
        if (photo is None) == (face_tokens is None):
            raise InputError("person: expected either photo(s) or face_tokens")
        photos = list(photo) if isinstance(photo, list | tuple) else [photo]
        given = "face_tokens" if photo is None else next(filter(is_person_file, photos), None)
        if given is not None and any(one is not None for one in (face, pose, which, source_face)):
            raise InputError(f"person: face, pose, which and source_face need a photo; got {given}")
        if photo is None:
            return self._people.from_tokens(face_tokens, box, consent, strength)
        if given is not None:
            return self._from_file(given, len(photos), box, consent, strength)
        return self._people.from_photos(
            photos,
            face=face,
            pose=pose,
            box=box,
            which=which,
            source_face=source_face,
            consent=consent,
            strength=strength,
        )

    def _from_file(
        self, file: Any, given: int, box: Place, consent: Any, strength: Number
    ) -> Person:
        """The person of a person file, one of so many `given`, at a place."""
        if given > 1 or consent is not None:
            raise InputError(f"{file}: a person file stands alone; its consent note is in it")
        person = load_person(file, space=self._token_space())
        if person.members[0][0].shape != self.token_shape:
            raise InputError(f"{file}: its tokens are of another shape than this model's")
        place = None if box is None else check_place(box)
        strength = check_number(strength, "strength")
        recipe = {**person.recipe, "box": place_json(place), "strength": strength}
        return replace(person, box=place, strength=strength, recipe=recipe)

    def save_person(
        self, person: Person, path: str | Path, *, expires: str | date, consent: str | Path
    ) -> Path:
        """Writes a reusable person file (NAME.person), which holds biometric data; see `person_file.save_person`."""
        return save_person(
            path, person, expires=expires, consent=consent, space=self._token_space()
        )

    def _token_space(self) -> str:
        return token_space(self._people.projection, self._people.weights["face_projection"])

    def mix(
        self, parts: Sequence[tuple[Person, Number]], box: Place = None, strength: Number = 1.0
    ) -> Person:
        """One person made of several, by weight (scaled to sum to 1); the parts' boxes and strengths do not count."""
        return mix_people(parts, box, strength)

    def place(
        self,
        prompt: str,
        people: Sequence[Person],
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> tuple[list[Person], Layout]:
        """Finds the boxes of people with box="auto" (`auto_layout`); a call does it by itself.

        Args:
            prompt: as in a call.
            people: all with box="auto" (or "auto:WORDS"), or some with None, which then count as "auto".
            progress: as in a call; told once per look.
            options: of a call: seed, size, steps, sampler, guidance_scale, ...

        Returns:
            The people in their boxes, and how these were found; make the picture with that layout's seed.

        Raises:
            InputError: boxes given for some people, several pictures at once, or words that the prompt does not hold.
            MissingPartError: the model has no face pack.
        """
        given = _checked_people(people)
        return self._place(self._asked(given, prompt=prompt, **options), given, progress)

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
        guidance_scale: Number | None = None,
        guidance_interval: Sequence[Number] = (0.0, 1.0),
        seed: int = 0,
        num_images: int = 1,
        gate: bool = True,
        identity_scale: Number = 1.0,
        layout_strength: Number = 2.0,
        layout_steps: int | None = None,
        vae_tile: int | None = None,
        latents: Any = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> Output:
        """Makes `num_images` pictures.

        With box="auto" the boxes are found first (`place`), and the picture is made with the seed at which they were.

        Args:
            prompt: what the picture shows; 77 tokens at most. `{face}` in it becomes the face words of the next person,
                so that the prompt says what IMR is asked for (docs/MINI.md: with the mini model this is better than
                either alone).
            people: who is in it; none: plain text-to-image.
            negative_prompt: what it should not show.
            height: pixels, a multiple of 64 (another model than SD1.5: `size_step`); None: the model's own.
            width: likewise.
            steps: sampling steps; None: the model's own, or another sampler's usual number.
            sampler: ddim, dpmpp_2m, euler, lcm or tcd; None: the model's own.
            guidance_scale: of classifier-free guidance; 1 or less switches it off; None: the model's own (METHOD: 5).
            guidance_interval: fractions of the steps between which guidance acts; a step outside costs half. (0, 0.8)
                leaves it out of the last fifth; the picture changes a little (arXiv 2404.07724 reports a better one).
            seed: picture i depends on the seed and i alone, not on `num_images`.
            num_images: pictures to make.
            gate: False switches gate and layout off (ablation).
            identity_scale: factor of the face branch.
            layout_strength: s >= 0 of METHOD section 3, in boxes, for the first `layout_steps` steps.
            layout_steps: None: round(0.24 * steps).
            vae_tile: decode by tiles of so many pixels, for pictures whose decoding does not fit in memory; colours may
                differ a little between tiles. None: the whole picture at once.
            latents: initial noise of unit deviation [n, h, w, 4], instead of the seed's.
            progress: called with (steps done, steps) as sampling goes on; an exception raised in it cancels.
            preview: called now and then with a rough, small PIL image of the first picture as it stands.

        Raises:
            InputError: an argument out of range.
            SamplingError: latents stopped being finite; says at which step.
        """
        given, layout = _checked_people(people), None
        request = self._asked(
            given,
            prompt=prompt,
            negative_prompt=negative_prompt,
            height=height,
            width=width,
            steps=steps,
            sampler=sampler,
            guidance_scale=guidance_scale,
            guidance_interval=guidance_interval,
            seed=seed,
            num_images=num_images,
            gate=gate,
            identity_scale=identity_scale,
            layout_strength=layout_strength,
            layout_steps=layout_steps,
            vae_tile=vae_tile,
        )
        if any(isinstance(person.box, AutoBox) for person in given):
            if latents is not None:
                raise InputError(
                    "latents: cannot be given with box='auto', which may need another seed"
                )
            placed, layout = self._place(request, given, progress)
            given, request = tuple(placed), replace(request, seed=layout.seed)
        made = self._generate(request, given, latents, progress, preview)
        origin = "from seed" if latents is None else "given"
        return self._output(request, given, made, origin, layout)

    def warm_up(
        self, people: int = 0, *, boxes: bool = False, preview: bool = False, **options: Any
    ) -> float:
        """Compiles ahead of time what calls of one shape need, so that a served model's first caller does not wait.

        With JAX's compilation cache switched on, later processes find the programs there. What makes another shape:
        size, the next power of two of `num_images` (on a CPU `num_images` itself) and of the people, whether one person
        has a box (several always do), samplers that draw noise, whether there is guidance or an interval of it.

        Args:
            people: how many.
            boxes: whether a lone person has a box.
            preview: whether calls have one.
            options: of `__call__`, such as height, width, num_images and sampler.

        Returns:
            Seconds that it took.
        """
        where: list[Box | None] = [*strips(people)] if people > 1 or boxes else [None] * people
        nobody = np.zeros(self.token_shape, np.float32) if people else None
        stand_ins = [self.person(face_tokens=nobody, box=box) for box in where]
        request = Request.resolve(self.config, **{"prompt": "", **options})
        return self._generate.warm_up(request, stand_ins, preview)

    def many(self, calls: Sequence[Mapping[str, Any]], rows: int | None = None) -> list[Output]:
        """Many different calls in one compiled batch, one picture each.

        Args:
            calls: arguments of `__call__` by name, without `num_images`, `latents` and `progress`. Prompts, people,
                boxes, seeds, scales and layout may differ; size, sampler, steps, `guidance_interval`, `vae_tile`,
                `gate`, whether there is guidance, how many people there are (to the next power of two) and whether they
                have boxes may not.
            rows: pad the batch to this many, so that a last, smaller batch needs no other program.

        Returns:
            What each call would have made by itself, within rounding.

        Raises:
            InputError: an argument out of range, or calls that do not fit together.
            SamplingError: latents stopped being finite; says at which step.
        """
        people = [_checked_people(call.get("people", ())) for call in calls]
        plain = [{name: call[name] for name in call if name != "people"} for call in calls]
        requests = [self._asked(some, **call) for some, call in zip(people, plain, strict=True)]
        made = self._generate.many(requests, people, rows)
        rows_of = zip(requests, people, made, strict=True)
        return [self._output(*row, "from seed") for row in rows_of]

    def _asked(self, people: tuple[Person, ...], **options: Any) -> Request:
        """A call's arguments, checked, with the people's face words in the prompt."""
        request = Request.resolve(self.config, **options)
        return replace(
            request, prompt=fill_faces(request.prompt, [person.face for person in people])
        )

    def _place(
        self, request: Request, people: tuple[Person, ...], progress: Progress | None
    ) -> tuple[list[Person], Layout]:
        """See `place`."""
        if self.face_pack is None:
            raise MissingPartError(
                "box='auto': finding faces needs a face pack; pass face_pack=FOLDER (--face_pack), or draw boxes"
            )
        if any(person.box is not None and not isinstance(person.box, AutoBox) for person in people):
            raise InputError("box: some people have a box, others 'auto'; give everybody the same")
        anywhere = [person.placed((0.0, 0.0, 1.0, 1.0)) for person in people]

        def look(short: Request) -> np.ndarray:
            return np.asarray(self._generate(short, anywhere, None, progress).images[0])

        layout = find_layout(request, people, look, self.face_pack.detect)
        boxes = zip(people, layout.boxes, strict=True)
        return [person.placed(box) for person, box in boxes], layout

    def _output(
        self,
        request: Request,
        people: tuple[Person, ...],
        made: Generated,
        latents: str,
        layout: Layout | None = None,
    ) -> Output:
        """Pictures with their recipe."""
        model = {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "weights": self.config.weights,
            "loras": self.loras,
        }
        asked = {**request.to_recipe(), "latents": latents}
        recipe = picture_recipe(asked, [person.recipe for person in people], model, self.dtype)
        verdicts = [verdict.to_json() for person in people for verdict in person.quality]
        metadata: dict[str, Any] = {"recipe": recipe, "quality": verdicts, "seconds": made.seconds}
        if layout is not None:
            metadata["layout"] = layout.to_json()
        images = made.images
        if self.safety_checker is not None:
            images, metadata["flagged"] = blacken(images, self.safety_checker)
        return Output(images, made.latents, made.gate_maps, metadata)


def _checked_people(people: Any) -> tuple[Person, ...]:
    given = tuple(people) if isinstance(people, Sequence) else (people,)
    if not all(isinstance(person, Person) for person in given):
        raise InputError("people: expected persons made by pipe.person or pipe.mix")
    check_consent([person.recipe for person in given])
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
