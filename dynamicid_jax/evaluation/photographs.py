"""Real people beside made-up ones: their photographs, and what is asked of a picture of them.

reference   a photo given to the pipeline: a file, or a content that is drawn
wish        what a picture of photographed people should show: a content without a drawn truth
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from numpy import ndarray

from dynamicid_jax.evaluation.contents import Content, draw
from dynamicid_jax.images import load_rgb


@dataclass(frozen=True)
class PhotoFile:
    """A photograph; `path` of the file."""

    path: str


@dataclass(frozen=True)
class Wish:
    """What a picture should show, said in words.

    Attributes:
        people: who, as numbers of the cast, from left to right.
        expressions: of motion.EXPRESSIONS, one each; None where nothing is asked.
        poses: of motion.POSES, likewise.
        prompt: the words.
        targets: another photo of everybody than the reference; None where there is none.
    """

    people: tuple[int, ...]
    expressions: tuple[int | None, ...]
    poses: tuple[int | None, ...]
    prompt: str
    targets: tuple[PhotoFile | None, ...]


Photo = Content | PhotoFile
Shown = Content | Wish


def photo_pixels(photos: Sequence[Photo], size: int) -> list[UInt8[ndarray, "h w 3"]]:
    """The pictures of photos: files as they are, contents drawn with `size` pixels a side.

    Raises:
        InputError: a file cannot be read.
    """
    contents = [photo for photo in photos if isinstance(photo, Content)]
    drawn = {
        content: one.pixels for content, one in zip(contents, draw(contents, size), strict=True)
    }
    return [
        drawn[photo] if isinstance(photo, Content) else load_rgb(photo.path) for photo in photos
    ]
