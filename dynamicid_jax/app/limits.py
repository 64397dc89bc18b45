"""What a visitor may ask for: the one place where the server's bounds are said."""

from dataclasses import asdict, dataclass

from dynamicid_jax.errors import InputError
from dynamicid_jax.types import Number


class BusyError(InputError):
    """The server has as much to do, or to keep, as it takes on; asking again later helps."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the server.

    Attributes:
        upload_bytes: of one photo's file.
        upload_pixels: of one photo, read from its header before anything is decoded.
        photos: that a visit holds.
        people: in one picture.
        photos_per_person: that one person is made of.
        prompt_letters: of a prompt or a negative prompt.
        words_letters: of any other text: face words, a consent line, a file's name.
        side: of a picture, in pixels.
        steps: of sampling.
        pictures: of one request.
        body_bytes: of a JSON request.
        results: pictures kept of a visit; the oldest goes first.
        visits: at once.
        kept_bytes: photos and pictures of all visits.
        idle_seconds: without a sign of life a visit ends, and everything in it is deleted.
        queue: requests that wait, of all visits.
        queue_per_visit: requests of one visit that wait or run.
    """

    upload_bytes: int = 10 * 2**20
    upload_pixels: int = 25_000_000
    photos: int = 24
    people: int = 6
    photos_per_person: int = 6
    prompt_letters: int = 1000
    words_letters: int = 200
    side: int = 1024
    steps: int = 100
    pictures: int = 4
    body_bytes: int = 64 * 2**10
    results: int = 24
    visits: int = 64
    kept_bytes: int = 2**30
    idle_seconds: float = 900.0
    queue: int = 16
    queue_per_visit: int = 4

    def to_json(self) -> dict[str, Number]:
        """For the page, which says them before a visitor runs into them."""
        return asdict(self)
