"""Which requests can be drawn in one batch, and how many rows a batch has."""

from collections.abc import Hashable, Sequence

import jax

from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.layout import places
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.request import Request


def batch_rows(pictures: int) -> int:
    """Rows of the program that draws so many pictures of one request.

    The next power of two, so that few programs serve any number; on a CPU as many as there are pictures, since a spare
    one would take longer than to compile.
    """
    return pictures if jax.default_backend() == "cpu" else places(pictures)


def batch_shape(request: Request, people: Sequence[Person]) -> Hashable:
    """What requests of one batch have in common: everything that shapes the compiled program, and the steps."""
    boxed = len(people) > 1 or any(person.box is not None for person in people)
    members = tuple(len(person.members) for person in people)
    flags = request.guidance_scale > 1, request.gate, boxed
    return (
        request.height,
        request.width,
        request.sampler,
        request.steps,
        request.guidance_interval,
        request.vae_tile,
        *flags,
        places(sum(members)) if members else 0,
        places(len(members)) if members else 0,
    )


def check_batch(requests: Sequence[Request], people: Sequence[Sequence[Person]]) -> None:
    """Raises `InputError` unless these requests of one picture each fit in one batch."""
    if not requests or len(requests) != len(people):
        raise InputError(
            f"batch: {len(requests)} requests and people of {len(people)}; expected one of each at least"
        )
    if any(request.num_images != 1 for request in requests):
        raise InputError("batch: expected num_images 1 in every request")
    shapes = {batch_shape(*pair) for pair in zip(requests, people, strict=True)}
    if len(shapes) > 1:
        raise InputError(
            "batch: requests of one batch need the same size, sampler, steps, guidance interval, tiles, guidance and "
            f"gate switches, and as many people, with boxes or without; got {len(shapes)} kinds"
        )
