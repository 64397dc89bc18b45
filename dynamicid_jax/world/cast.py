"""The made-up people whose photos come with the package (packaged.photos): who they are, and how the photos were made.

python -m dynamicid_jax.world.cast FOLDER      draws them again
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from dynamicid_jax.world.factors import person_number, seed_of
from dynamicid_jax.world.motion import EXPRESSIONS, POSES, motion
from dynamicid_jax.world.png import png
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.scene import scene

SPLIT = "demo"
CAST = {"ada": 12, "ben": 33, "cleo": 3, "dan": 10, "eva": 22, "finn": 20}
"""Places in the demo split: nobody is trained on them."""
SIZE = 256
_SHARP = 2  # drawn larger and shrunk, for finer edges


def cast_photos() -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """Everybody's photo: from the front, with a neutral face."""
    pictures = np.asarray(_draw(jnp.asarray(list(CAST.values())), SIZE * _SHARP))
    fine = pictures.astype(np.float32).reshape(len(CAST), SIZE, _SHARP, SIZE, _SHARP, 3)
    small = np.round(fine.mean((2, 4))).astype(np.uint8)
    return dict(zip(CAST, small, strict=True))


@partial(jax.jit, static_argnums=1)
def _draw(people: Array, size: int) -> Array:
    seed = seed_of(people, "cast", 0).astype(jnp.int32)
    level = jnp.zeros_like(people)[:, None]
    neutral, front = level + EXPRESSIONS.index("neutral"), level + POSES.index("front")
    move = motion(seed[:, None], neutral, front, level, calm=True)
    who = person_number(SPLIT, people)[:, None]
    return to_bytes(render_many(scene(seed, who, jnp.ones_like(seed), move), size))


def write_cast(folder: Path) -> list[Path]:
    """Writes NAME.png for everybody; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in cast_photos().items():
        written.append(folder / f"{name}.png")
        written[-1].write_bytes(png(picture))
    return written


if __name__ == "__main__":
    print(*write_cast(Path(sys.argv[1])), sep="\n")
