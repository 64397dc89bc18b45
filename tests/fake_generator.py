"""A generator that draws grey at once: for tests of what happens to pictures, not of how they are made."""

import numpy as np
import pytest
from PIL import Image

from dynamicid_jax.inference.generator import Generated, Generator

SECONDS = {"compile": 0.0, "sample": 0.1, "steps_per_second": 10.0, "decode": 0.0, "total": 0.1}


def install(patch: pytest.MonkeyPatch) -> None:
    """Replaces sampling by grey pictures of the size asked for."""

    def draw(self, request, people, latents=None, progress=None, preview=None) -> Generated:
        size = (request.width, request.height)
        images = [Image.new("RGB", size, "grey") for _ in range(request.num_images)]
        return Generated(images, np.zeros((len(images), 1, 1, 4), np.float32), {}, SECONDS)

    patch.setattr(Generator, "__call__", draw)
