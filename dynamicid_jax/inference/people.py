"""From photographs to people: face tokens, edits of expression and pose, mixes (METHOD sections 2 and 4).

photo -> face pack -> reference (crop, embedding, landmarks) -> face tokens -> optional IMR edit -> Person
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.faces.landmarks import raster
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.prompts import FaceWords, parse_face_words
from dynamicid_jax.faces.quality import Verdict
from dynamicid_jax.faces.reference import Reference, Which, average_embeddings, make_reference
from dynamicid_jax.images import reference_hash
from dynamicid_jax.inference.layout import AutoBox, check_place, place_json
from dynamicid_jax.inference.networks import encode_face, encode_keypoints, encode_text, reconfigure
from dynamicid_jax.inference.preprocess import clip_pixels
from dynamicid_jax.inference.request import check_number
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import FaceProjectionConfig, ModelConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.provenance.consent import read_consent
from dynamicid_jax.types import Box, Number, Params

Tokens = Float[Array, "t x"]


@dataclass(frozen=True, eq=False)
class Person:
    """One place in the picture: a person, or several mixed into one.

    Attributes:
        members: (face tokens, weight) pairs; the weights sum to 1; one pair unless mixed.
            Biometric data: a person's representation, in logs and tracebacks, leaves them out.
        box: where, as (x0, y0, x1, y1) in [0, 1], an `AutoBox` that is still to be found, or None.
        strength: factor of this person's features, beside the call's `identity_scale`.
        recipe: what a picture's metadata says about this person: hashes and words, never a photo.
        quality: one verdict per photo, the pose photo last (see `dynamicid_jax.faces.quality`).
    """

    members: tuple[tuple[Tokens, float], ...] = field(repr=False)
    box: Box | AutoBox | None = None
    strength: float = 1.0
    recipe: dict[str, Any] = field(default_factory=dict)
    quality: tuple[Verdict, ...] = ()

    @property
    def face(self) -> str | None:
        """The words of this person's edit; of a mix, its first part's that has any."""
        parts = self.recipe.get("mix", [self.recipe])
        return next((part["face"] for part in parts if part.get("face")), None)

    def placed(self, box: Box | None) -> "Person":
        """The same person in that box."""
        return replace(self, box=box, recipe={**self.recipe, "box": place_json(box)})


Place = Sequence[Number] | str | AutoBox | None
"""Where somebody stands, as callers say it: four fractions, "auto", "auto:WORDS", or None for nowhere in particular."""


def mix_people(
    parts: Sequence[tuple[Person, Number]], box: Place = None, strength: Number = 1.0
) -> Person:
    """One person made of several, by weight; weights are scaled to sum to 1, and weight 0 removes a person.

    Raises:
        InputError: no parts, a negative weight, or weights that sum to 0.
    """
    weights = [float(weight) for _, weight in parts]
    if not weights or min(weights) < 0 or not np.isfinite(sum(weights)) or sum(weights) == 0:
        raise InputError(f"mix: expected weights of at least 0 with a positive sum, got {weights}")
    total = sum(weights)
    members = tuple(
        (tokens, weight * share / total)
        for (person, weight) in parts
        for tokens, share in person.members
        if weight > 0
    )
    place = None if box is None else check_place(box, "mix: box")
    strength = check_number(strength, "strength")
    recipe = {
        "mix": [{**person.recipe, "weight": weight} for person, weight in parts],
        "box": place_json(place),
        "strength": strength,
    }
    quality = tuple(verdict for person, _ in parts for verdict in person.quality)
    return Person(members, place, strength, recipe, quality)


def _consent(given: str | Path | None) -> dict[str, str]:
    """A recipe's entry for a consent statement, where there is one."""
    return {} if given is None else {"consent": read_consent(given)}


class PeopleEncoder:
    """Makes people with one model's networks and one face pack."""

    def __init__(
        self,
        config: ModelConfig,
        weights: dict[str, Params],
        tokenizer: Tokenizer,
        face_pack: FacePack | None,
    ) -> None:
        """Nothing is computed yet."""
        self.config = config
        self.weights = weights
        self.tokenizer = tokenizer
        self.face_pack = face_pack
        self._unconditional: Tokens | None = None

    @property
    def projection(self) -> FaceProjectionConfig:
        """The face projection's config.

        Raises:
            MissingPartError: the model has none.
        """
        return self._require("face_projection")

    @property
    def token_shape(self) -> tuple[int, int]:
        """Shape [t, x] of one person's face tokens."""
        return self.projection.tokens_per_person, self.projection.context_width

    def from_tokens(
        self,
        face_tokens: Any,
        box: Place = None,
        consent: str | Path | None = None,
        strength: Number = 1.0,
    ) -> Person:
        """A person from given tokens [t, x] or [1, t, x]; `consent` and `strength` as in `from_photos`.

        Raises:
            InputError: another shape, or values that are not finite.
        """
        tokens = np.asarray(face_tokens, np.float32)
        shape = self.token_shape
        if tokens.ndim == 3 and tokens.shape[0] == 1:
            tokens = tokens[0]
        if tokens.shape != shape or not np.isfinite(tokens).all():
            raise InputError(
                f"face_tokens: expected finite values of shape {shape}, got shape {tokens.shape}"
            )
        place = None if box is None else check_place(box)
        strength = check_number(strength, "strength")
        recipe = {
            "face_tokens": hashlib.sha256(tokens.tobytes()).hexdigest(),
            "box": place_json(place),
            "strength": strength,
            **_consent(consent),
        }
        return Person(((jnp.asarray(tokens), 1.0),), place, strength, recipe)

    def from_photos(
        self,
        photos: Sequence[Any],
        *,
        face: str | None = None,
        pose: Any = None,
        box: Place = None,
        which: Which = None,
        source_face: str | None = None,
        consent: str | Path | None = None,
        strength: Number = 1.0,
    ) -> Person:
        """A person from one or several photographs.

        The embeddings of several photos are averaged and normalised again; every photo then gives tokens with that one
        embedding and its own image features, is edited on its own, and the tokens are averaged.

        Args:
            photos: paths, bytes of picture files, PIL images or uint8 arrays [h w 3].
            face: words for expression and pose, for example "happy, side view"; None keeps the photo's motion.
            pose: a photo whose landmarks are the target motion.
            box: four fractions x0, y0, x1, y1; or "auto": found by a short look at the picture (auto_layout.py),
                from left to right in the order of the people; "auto:WORDS": for whom the prompt says those words.
            which: the face to take in photos with several: its place from the left (from 0), a point or a box in
                fractions; None takes the largest.
            source_face: words for what the references show; an expression unsaid is neutral, a pose unsaid is measured.
            consent: what the person has agreed to, as text or a text file; recorded with every picture.
            strength: factor of this person's features, at least 0.

        Raises:
            FaceError: a photo without a usable face.
            InputError: unreadable photos, unknown words, a bad box.
            MissingPartError: the model or the face pack lacks a network.
        """
        if not photos:
            raise InputError("person: expected at least one photo, or face_tokens")
        place = None if box is None else check_place(box)
        strength = check_number(strength, "strength")
        statement = _consent(consent)
        words = None if face is None else parse_face_words(face)
        if words is not None or pose is not None:
            self.check_editable()
        references = [self._reference(photo, which) for photo in photos]
        hashes = [reference_hash(photo) for photo in photos]
        tokens = self._tokens(references)
        target = None if pose is None else self._reference(pose, None)
        if words is not None or target is not None:
            source_words = parse_face_words(source_face) if source_face else FaceWords()
            edit = [
                self._edited(one, reference, source_words, words or FaceWords(), target)
                for one, reference in zip(tokens, references, strict=True)
            ]
            tokens = jnp.stack(edit)
        recipe = {
            "references": hashes,
            "face": face,
            "pose": None if pose is None else reference_hash(pose),
            "source_face": source_face,
            "which": list(which) if isinstance(which, tuple) else which,
            "box": place_json(place),
            "strength": strength,
            **statement,
        }
        seen = references if target is None else [*references, target]
        quality = tuple(one.verdict for one in seen)
        return Person(((tokens.mean(0), 1.0),), place, strength, recipe, quality)

    def unconditional(self) -> Tokens:
        """Tokens of nobody: a zero embedding and zero pixels (METHOD section 2); computed once."""
        if self._unconditional is None:
            size = self._require("image_encoder").image_size
            width = self._require("face_projection").id_width
            nobody = self._project(
                np.zeros((1, width), np.float32), np.zeros((1, size, size, 3), np.float32)
            )
            self._unconditional = nobody[0]
        return self._unconditional

    def _require(self, part: str) -> Any:
        found = getattr(self.config, part)
        if found is None:
            raise MissingPartError(
                f"people: the model has no {part.replace('_', ' ')}; use a whole DynamicID model "
                "(for image_encoder pass image_encoder=FOLDER), or a prompt without people"
            )
        return found

    def _reference(self, photo: Any, which: Which) -> Reference:
        self._require("face_projection")
        if self.face_pack is None:
            raise MissingPartError(
                "face_pack: photographs need one; pass face_pack=FOLDER (--face_pack), a folder of ONNX files as "
                "insightface loads it, or give face_tokens"
            )
        return make_reference(
            photo,
            self.face_pack,
            id_channels=self.config.id_channels,
            reference_crop=self.config.reference_crop,
            which=which,
        )

    def _tokens(self, references: Sequence[Reference]) -> Float[Array, "b t x"]:
        """One set of tokens per photo, all with the mean embedding."""
        one = average_embeddings([reference.embedding for reference in references])
        embedding = np.tile(one, (len(references), 1))
        pixels = [clip_pixels(one.crop, self._require("image_encoder")) for one in references]
        return self._project(embedding, np.stack(pixels))

    def _project(self, embedding: np.ndarray, pixels: np.ndarray) -> Float[Array, "b t x"]:
        return encode_face(
            ImageEncoder(self._require("image_encoder")),
            FaceProjection(self._require("face_projection")),
            self.weights["image_encoder"],
            self.weights["face_projection"],
            embedding,
            pixels,
        )

    def check_editable(self) -> None:
        """Whether this model and its face pack can edit faces.

        Raises:
            MissingPartError: the model has no IMR, or the pack lacks its landmarks.
        """
        for part in ("imr", "keypoint_encoder"):
            if getattr(self.config, part) is None:
                raise MissingPartError(
                    f"face, pose: editing needs the network {part!r}, which this model lacks; "
                    f"leave them out, or pass {part}=FILE (--{part})"
                )
        needed = self._require("keypoint_encoder").num_landmarks
        if self.face_pack is not None and needed not in self.face_pack.landmark_sets:
            had = ", ".join(map(str, sorted(self.face_pack.landmark_sets)))
            raise MissingPartError(
                f"face, pose: this model's IMR was trained on {needed} landmarks, and the face pack "
                f"gives {had}; use a pack with a {needed}-point network (2d106det.onnx for 106)"
            )

    def _edited(
        self,
        tokens: Tokens,
        source: Reference,
        source_words: FaceWords,
        words: FaceWords,
        target: Reference | None,
    ) -> Tokens:
        """Takes the source's motion out and the target's in; the unsaid keeps the source's value."""
        said = source_words.complete(FaceWords.measured(source.record))
        posed = said
        if target is not None:
            posed = FaceWords.measured(target.record, expression=said.expression)
        texts = self._pooled([said.prompt(), words.complete(posed).prompt()])
        features = self._keypoints([source] if target is None else [source, target])
        aim = features[-1:]
        config = self._require("imr")
        if target is None and config.null_keypoint:
            aim = jnp.asarray(self.weights["imr"]["null_keypoint"])[None]
        motion = (features[:1], texts[:1]), (aim, texts[1:])
        return reconfigure(IMR(config), self.weights["imr"], tokens[None], *motion)[0]

    def _keypoints(self, references: Sequence[Reference]) -> Float[Array, "b k"]:
        config = self._require("keypoint_encoder")
        pictures = [
            raster(
                one.landmarks(config.num_landmarks),
                height=one.crop.shape[0],
                width=one.crop.shape[1],
            )
            for one in references
        ]
        return encode_keypoints(
            KeypointEncoder(config),
            self.weights["keypoint_encoder"],
            self.weights["keypoint_stats"],
            np.stack(pictures)[..., None],
        )

    def _pooled(self, prompts: Sequence[str]) -> Float[Array, "b x"]:
        net = TextEncoder(self.config.text_encoder)
        return encode_text(net, self.weights["text_encoder"], self.tokenizer(prompts))[1]
