"""A small dataset of made-up pictures."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from dynamicid_jax.data.record import DatasetInfo, PictureRecord, pack_raster

WIDTH = 8  # of id embeddings
INFO = DatasetInfo(landmark_set=5, embedding_width=WIDTH)


def fake_record(person: str, number: int, side: int = 32, **changes: Any) -> PictureRecord:
    """A picture of one person, different from every other."""
    seed = int.from_bytes(f"{person}/{number}".encode()[-6:], "little")
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (changes.get("height", side), changes.get("width", side), 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    embedding = rng.normal(size=WIDTH).astype(np.float32)
    values = {
        "key": f"{person}/{number}",
        "person": person,
        "picture": stream.getvalue(),
        "width": side,
        "height": side,
        "caption": f"a photo of {person}",
        "face_prompt": "in a happy expression, in front view",
        "expression": "happy",
        "expression_source": "text",
        "yaw": 1.5,
        "pitch": -2.0,
        "roll": float("nan"),
        "pose_source": "network",
        "face_box": np.array([0.25, 0.25, 0.75, 0.75], np.float32),
        "raster": pack_raster(rng.choice([-1.0, 1.0], (96, 96))),
        "embedding": embedding / np.linalg.norm(embedding),
        "licence": "CC0 ©",
        "consent": "yes",
    }
    return PictureRecord(**values | changes)


def fake_records(persons: int, pictures: int, first: int = 0, **changes: Any) -> Iterator[Any]:
    """`pictures` of each of `persons`."""
    for person in range(first, first + persons):
        for number in range(pictures):
            yield fake_record(f"person{person}", number, **changes)


class FakeTokenizer:
    """Letters as ids."""

    def ids(self, prompts: list[str]) -> np.ndarray:
        return np.array(
            [[ord(letter) for letter in f"{prompt:7.7}"] for prompt in prompts], np.int32
        )
