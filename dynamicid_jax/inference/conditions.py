"""What steers a picture: prompts and people projected to keys and values, and who goes where."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.batches import batch_rows
from dynamicid_jax.inference.layout import face_layout, map_sizes, places, resolve_boxes
from dynamicid_jax.inference.people import PeopleEncoder, Person
from dynamicid_jax.inference.request import Request
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.types import Params


class Conditioner:
    """Makes the conditions of one request, or of many in one batch."""

    def __init__(
        self,
        config: ModelConfig,
        unet: UNet,
        unet_weights: dict[str, Params],
        text_weights: Params,
        tokenizer: Tokenizer,
        people: PeopleEncoder,
        dtype: Any,
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self._unet, self._unet_weights = unet, unet_weights
        self._text_encoder = TextEncoder(config.text_encoder, dtype)
        self._text_weights = text_weights
        self._people = people

    def one(self, request: Request, people: tuple[Person, ...]) -> networks.Conditions:
        """Of a request; contexts have `batch_rows` rows of its pictures."""
        guided = request.guidance_scale > 1
        text = self._texts([request])[0]
        faces, layout = self._faces(request, people, guided) if people else (None, None)
        strengths = _strengths(people) if people else None
        contexts = networks.project(
            self._unet, self._unet_weights, text, faces, strengths, batch_rows(request.num_images)
        )
        return networks.Conditions(
            contexts=contexts,
            layout=layout,
            layout_strength=jnp.float32(request.layout_strength),
            layout_steps=jnp.int32(request.layout_steps),
            guidance_scale=jnp.float32(request.guidance_scale),
            guided=guided,
        )

    def many(
        self, requests: Sequence[Request], people: Sequence[tuple[Person, ...]]
    ) -> networks.Conditions:
        """As `one`, with an axis of requests before every other."""
        guided = requests[0].guidance_scale > 1
        text = self._texts(requests)
        faces = layouts = strengths = None
        if people[0]:
            strengths = jnp.stack([_strengths(some) for some in people])
            made = [self._faces(*pair, guided) for pair in zip(requests, people, strict=True)]
            faces = jnp.stack([tokens for tokens, _ in made])
            layouts = jax.tree.map(lambda *leaf: jnp.stack(leaf), *[layout for _, layout in made])
        return networks.Conditions(
            contexts=networks.project_many(self._unet, self._unet_weights, text, faces, strengths),
            layout=layouts,
            layout_strength=jnp.array([one.layout_strength for one in requests], jnp.float32),
            layout_steps=jnp.array([one.layout_steps for one in requests], jnp.int32),
            guidance_scale=jnp.array([one.guidance_scale for one in requests], jnp.float32),
            guided=guided,
        )

    def _texts(self, requests: Sequence[Request]) -> Float[Array, "r b l x"]:
        """Text states of each request: under guidance the negative prompt's, then the prompt's."""
        guided = requests[0].guidance_scale > 1
        pairs = [[one.negative_prompt, one.prompt] if guided else [one.prompt] for one in requests]
        ids = self.tokenizer([prompt for pair in pairs for prompt in pair])
        text, _ = networks.encode_text(self._text_encoder, self._text_weights, ids)
        return text.reshape(len(requests), -1, *text.shape[1:])

    def _faces(
        self, request: Request, people: tuple[Person, ...], guided: bool
    ) -> tuple[Float[Array, "b p t x"], FaceLayout]:
        """Everybody's tokens (under guidance after as many tokens of nobody), and who goes where."""
        if self.config.adapter is None:
            raise MissingPartError(
                "people: this model has no adapter (SAA.bin); use a DynamicID model, or pass adapter=FILE"
            )
        members = [member for person in people for member, _ in person.members]
        spare = [jnp.zeros_like(members[0])] * (places(len(members)) - len(members))
        tokens = jnp.stack([*members, *spare])
        slots = [slot for slot, person in enumerate(people) for _ in person.members]
        shares = [share for person in people for _, share in person.members]
        mix = np.zeros((len(tokens), places(len(people))), np.float32)
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


def _strengths(people: Sequence[Person]) -> Float[Array, "p"]:
    """Of every member (a mixed person counts once per member), their person's strength; 1 in spare places."""
    each = [person.strength for person in people for _ in person.members]
    return jnp.array([*each, *[1.0] * (places(len(each)) - len(each))], jnp.float32)
