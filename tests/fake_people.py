"""People that the fake face pack can tell apart: each has a colour of background (its recogniser sees mean colours)."""

import fake_face_pack as fake_pack
import numpy as np
from PIL import Image

from dynamicid_jax.data.dataset import open_dataset
from dynamicid_jax.data.prepare.settings import Settings

BACKGROUNDS = {
    "coal": (0, 0, 0),
    "sky": (0, 0, 255),
    "sun": (255, 255, 0),
    "snow": (255, 255, 255),
}


def portrait(colour, column=9, row=8, shade=0, small=False):
    """A red block, which is a large face to the fake pack (a green one is small), on a background."""
    pixels = np.empty((fake_pack.SIZE, fake_pack.SIZE, 3), np.uint8)
    pixels[:] = np.abs(np.array(colour) - shade)
    cell, block = (16, (0, 255, 0)) if small else (32, (255, 0, 0))
    pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = block
    return pixels


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_people(root, people=tuple(BACKGROUNDS), photos=3):
    """A folder of portraits per person."""
    for person in people:
        for k in range(photos):
            save(portrait(BACKGROUNDS[person], 7 + k, 8, shade=4 * k), root / person / f"{k}.png")
    return root


def settings(photos, out, pack, **more):
    """A request for one process."""
    return Settings(photos=str(photos), out=str(out), face_pack=str(pack), processes=1, **more)


def records(out):
    """All records of a dataset by key."""
    dataset = open_dataset(out)
    found = {}
    for split in dataset.info.splits:
        source = dataset.split(split)
        found |= {source[k].key: source[k] for k in range(len(source))}
    return found
