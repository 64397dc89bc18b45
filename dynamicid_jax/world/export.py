"""Made-up people as folders of files, to try what reads photographs on.

    write_photos     ROOT/<person>/<k>.png                                 as a user's own photos
    write_variface   ROOT/<person>/<k>.png, <k>.txt, <k>_landmark.png      the published layout
                                                                           (METHOD section 7)

k counts the cells of the 7 x 5 studio grid, 5 * expression + pose.
"""

from pathlib import Path

import numpy as np

from dynamicid_jax.data.record import PictureRecord, unpack_raster
from dynamicid_jax.world.motion import CELLS
from dynamicid_jax.world.png import png
from dynamicid_jax.world.sources import Source


def write_photos(root: Path, *, people: int, split: str = "demo", size: int = 256) -> list[Path]:
    """Writes 35 photos each of the first people of a split; returns the files."""
    return _write(root, people, split, size, sidecars=False)


def write_variface(root: Path, *, people: int, split: str = "demo", size: int = 256) -> list[Path]:
    """The same with face prompts and landmark pictures beside them; returns the pictures."""
    return _write(root, people, split, size, sidecars=True)


def _write(root: Path, people: int, split: str, size: int, *, sidecars: bool) -> list[Path]:
    source = Source("world/variface", split=split, people=people, size=size)
    written = []
    for person in range(people):
        for record in source.records(list(range(person * CELLS, (person + 1) * CELLS))):
            written.append(_write_one(root / record.person, record, sidecars))
    return written


def _write_one(folder: Path, record: PictureRecord, sidecars: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{record.studio_cell}.png"
    file.write_bytes(record.picture)
    if sidecars:
        file.with_suffix(".txt").write_text(record.face_prompt + "\n", encoding="utf-8")
        bits = (unpack_raster(record.raster) > 0).astype(np.uint8) * 255
        (folder / f"{record.studio_cell}_landmark.png").write_bytes(png(bits[:, :, None]))
    return file
