"""What the current weights draw of a fixed set of held-out pictures: one sheet per look.

    stage            per record                                        and
    autoencoder      the picture, its reconstruction, their distance
    base             the picture, one drawn from its caption
    anchoring        the face's reference crop, the picture, one drawn
                     of that face, where the gate is open
    reconfiguration  the same, with frozen gate                        the first record's face with other motions

Everything goes through the sampling path (inference/generator.py); its compiled programs are kept by JAX between
looks, as shapes do not change. Seeds are fixed, so two sheets differ by the weights alone.
"""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from dynamicid_jax.data.record import PictureRecord
from dynamicid_jax.errors import SamplingError
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.gate_maps import mean_map, overlay
from dynamicid_jax.inference.generator import Generated, Generator
from dynamicid_jax.inference.people import PeopleEncoder, Person
from dynamicid_jax.inference.request import Request, size_step
from dynamicid_jax.inference.tokenizer import PromptCutWarning, Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.training import record_people
from dynamicid_jax.training.record_people import Picture
from dynamicid_jax.training.tiles import Row, Tile, sheet
from dynamicid_jax.types import Params

DRAWN_STAGES = ("autoencoder", "base", "anchoring", "reconfiguration")
EDITS = 4  # motions that the first person is given
DIFFERENCE = 4.0  # factor that makes small distances visible


class Sheet:
    """A fixed set of held-out records, and how to draw them."""

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        records: Sequence[PictureRecord],
        *,
        stage: str = "anchoring",
        image_size: int | None = None,
        steps: int = 20,
        guidance_scale: float | None = None,
        gate: bool = True,
        motions: Sequence[PictureRecord] = (),
        references: Mapping[str, Picture] | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
    ) -> None:
        """Decodes the pictures; nothing is compiled yet.

        Args:
            config: the model's, LoRA not folded.
            tokenizer: the model's.
            records: what is drawn; with faces for the stages that need one.
            stage: one of DRAWN_STAGES.
            image_size: side of the drawn pictures, brought up to what sampling takes; None: the model's own.
            steps: sampling steps.
            guidance_scale: of classifier-free guidance; None: the model's own.
            gate: False where the model trains without it.
            motions: pictures of the first record's person, whose motions it is given in "reconfiguration"; empty: the
                other records, without what their captions say.
            references: {key of a record: what the image encoder sees of it}, where that is not cut out of its picture.
            seed: of the first picture's noise; the others follow.
            dtype: what the UNet and the text encoder compute in.
        """
        self.stage = stage
        self._config = config if _has_faces(stage) else replace(config, adapter=None)
        self._tokenizer, self._records, self._dtype = tokenizer, list(records), dtype
        others = [replace(one, caption="") for one in records[1:]]
        self._motions = list(motions or others)[:EDITS]
        self._references = references or {}
        self._seed, self._steps, self._guidance, self._gate = seed, steps, guidance_scale, gate
        size = image_size or max(config.sampling.height, config.sampling.width)
        step = size_step(config)
        self._size = -(-size // step) * step
        self._pictures = {
            one.key: record_people.decoded(one) for one in [*self._records, *self._motions]
        }

    def draw(self, weights: Params, step: int | None = None) -> Image.Image | None:
        """The sheet for these weights, which stay as they are; None except on process 0.

        All processes call it: weights that are cut over several of them are gathered first.

        Args:
            weights: {component: nested parameters}, as in the state.
            step: written on the sheet.
        """
        own = {name: jax.tree.map(_own, tree) for name, tree in weights.items()}
        if jax.process_index() != 0:
            return None
        rows = self._reconstructions(own) if self.stage == "autoencoder" else self._drawings(own)
        when = "" if step is None else f", after {step} updates"
        return sheet(f"{self.stage}{when}", rows)

    def _reconstructions(self, weights: Params) -> list[Row]:
        """Pictures through the autoencoder, by the means of their latents."""
        net, rows = VAE(self._config.vae), []
        for record in self._records:
            picture = _resized(self._pictures[record.key], self._size)
            again = np.asarray(
                _reconstruct(net, weights["vae"], picture[None].astype(np.float32) / 127.5 - 1)
            )[0]
            if not np.isfinite(again).all():
                rows.append(Row(record.key, (_tile(picture, "picture"), Tile(None))))
                continue
            again = np.round((np.clip(again, -1, 1) + 1) * 127.5).astype(np.uint8)
            far = np.abs(again.astype(np.float32) - picture) * DIFFERENCE
            distance = np.clip(far, 0, 255).astype(np.uint8)
            error = float(np.mean(np.square(far / DIFFERENCE)))
            psnr = 10 * np.log10(255**2 / max(error, 1e-9))
            tiles = (
                _tile(picture, "picture"),
                _tile(again, f"reconstructed, {psnr:.1f} dB"),
                _tile(distance, f"distance x {DIFFERENCE:g}"),
            )
            rows.append(Row(record.key, tiles))
        return rows

    def _drawings(self, weights: Params) -> list[Row]:
        """Pictures by sampling; the Generator folds LoRA into the nested dicts it gets, so it gets its own."""
        copied = {name: jax.tree.map(lambda leaf: leaf, tree) for name, tree in weights.items()}
        people = PeopleEncoder(self._config, copied, self._tokenizer, None)
        generate = Generator(self._config, copied, self._tokenizer, people, self._dtype)
        rows = []
        for number, record in enumerate(self._records):
            rows.append(self._record(number, record, weights, people, generate))
        if self.stage == "reconfiguration" and self._records and self._motions:
            rows += self._edits(self._records[0], weights, people, generate)
        return rows

    def _record(
        self,
        number: int,
        record: PictureRecord,
        weights: Params,
        people: PeopleEncoder,
        generate: Generator,
    ) -> Row:
        """One record's tiles."""
        prompt = record_people.prompt_of(record)
        label = f"{record.key}: {prompt}"
        if not _has_faces(self.stage):
            made = self._generate(generate, prompt, (), number)
            shown = _tile(self._pictures[record.key], "held-out picture")
            return Row(label, (shown, _drawn(made, "drawn from its caption")))
        face = self._tokens(record, weights)
        made = self._generate(generate, prompt, _person(people, face), number)
        tiles = [
            _tile(self._crop(record), "reference"),
            _tile(self._pictures[record.key], "held-out picture"),
            _drawn(made, "drawn"),
        ]
        if made is not None and made.gate_maps:
            image = made.images[0]
            lit = overlay(image, mean_map(made.gate_maps, 0, image.size))
            tiles.append(Tile(lit, "gate, mean of all layers"))
        return Row(label, tuple(tiles))

    def _edits(
        self, source: PictureRecord, weights: Params, people: PeopleEncoder, generate: Generator
    ) -> list[Row]:
        """Two rows: faces whose motion is taken, and the source's face with it."""
        face, records = self._tokens(source, weights), [source, *self._motions]
        features, texts = record_people.motions(self._config, weights, self._tokenizer, records)
        assert self._config.imr is not None
        edited = networks.reconfigure(
            IMR(self._config.imr),
            weights["imr"],
            face[None],
            (features[:1], texts[:1]),
            (features[1:], texts[1:]),
        )
        aims = [_tile(self._crop(one), one.face_prompt or one.key) for one in self._motions]
        drawn = []
        for one, tokens in zip(self._motions, edited, strict=True):
            # the noise of the source's own picture, so that the motion alone makes the difference
            prompt = record_people.prompt_of(one)
            made = self._generate(generate, prompt, _person(people, tokens), 0)
            drawn.append(_drawn(made, "drawn"))
        return [
            Row("motions of", tuple(aims)),
            Row(f"{source.key} with these motions", tuple(drawn)),
        ]

    def _generate(
        self, generate: Generator, prompt: str, people: tuple[Person, ...] | None, number: int
    ) -> Generated | None:
        """One picture; None where the weights give nothing finite."""
        request = Request.resolve(
            self._config,
            prompt=prompt,
            negative_prompt="",
            height=self._size,
            width=self._size,
            steps=self._steps,
            sampler=None,
            guidance_scale=self._guidance,
            seed=self._seed + number,
            num_images=1,
            gate=self._gate,
            identity_scale=1.0,
            layout_strength=0.0,
            layout_steps=0,
        )
        if people is None:
            return None
        with warnings.catch_warnings(), contextlib.suppress(SamplingError):
            # a long caption is cut in training, too; it need not be said at every look
            warnings.simplefilter("ignore", PromptCutWarning)
            return generate(request, people)
        return None

    def _tokens(self, record: PictureRecord, weights: Params) -> Float[Array, "t x"]:
        crop = self._crop(record)
        return record_people.face_tokens(self._config, weights, crop, record.embedding)

    def _crop(self, record: PictureRecord) -> Picture:
        if record.key in self._references:
            return self._references[record.key]
        return record_people.reference(self._config, record, self._pictures[record.key])


def _has_faces(stage: str) -> bool:
    return stage in ("anchoring", "reconfiguration")


def _own(leaf: Any) -> Any:
    """A leaf on one device of this process: the picture is drawn there, while the others wait."""
    if isinstance(leaf, jax.Array) and leaf.is_fully_replicated:
        leaf = leaf.addressable_data(0)  # its copy there: nothing moves
    elif isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        from jax.experimental import multihost_utils

        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    # always put, so that compiled programs see the same kind of argument in every run and at every look
    return jax.device_put(leaf, jax.local_devices()[0])


@partial(jax.jit, static_argnames="net")
def _reconstruct(
    net: VAE, params: Params, pictures: Float[Array, "b H W 3"]
) -> Float[Array, "b H W 3"]:
    """Pictures in [-1, 1] through the mean of their latents."""
    return net.apply({"params": params}, pictures)  # type: ignore[return-value]


def _resized(picture: Picture, size: int) -> UInt8[np.ndarray, "H W 3"]:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


def _person(people: PeopleEncoder, tokens: Any) -> tuple[Person, ...] | None:
    """The one person of a picture; None where the weights give no finite tokens."""
    face = np.asarray(tokens, np.float32)
    return (people.from_tokens(face),) if np.isfinite(face).all() else None


def _tile(picture: Picture, caption: str) -> Tile:
    return Tile(Image.fromarray(picture), caption)


def _drawn(made: Generated | None, caption: str) -> Tile:
    return Tile(None if made is None else made.images[0], caption)
