"""How fast a suite's judges look at pictures: detector, recogniser, expression and pose, one picture after the other.

    python benchmarks/judging.py --pictures 1000      # made-up people, packaged judges
    python benchmarks/judging.py --pictures 1000 --photos DIR --judges JUDGES --size 512

Photographs are scaled to `--size` pixels and mirrored, rolled copies of them fill up the number. Reading, scaling and
drawing are not timed. Prints wall and CPU seconds and the faces found: the row of docs/EVALUATION.md.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dynamicid_jax.evaluation.looks import JudgeLooker
from dynamicid_jax.evaluation.run import Evaluation
from dynamicid_jax.images import RGB, load_rgb


def photographs(evaluation: Evaluation, count: int, size: int) -> Iterator[RGB]:
    """So many different pictures of the people of a folder."""
    paths = [path for some in evaluation.cast.photos.values() for path in some]
    for number in range(count):
        turn, place = divmod(number, len(paths))
        picture = Image.fromarray(load_rgb(paths[place])).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        pixels = np.roll(np.asarray(picture), 2 * turn, axis=1)
        yield np.ascontiguousarray(pixels[:, ::-1] if turn % 2 else pixels)


def made_up(count: int, size: int) -> Iterator[RGB]:
    """So many pictures of one to three made-up people."""
    from dynamicid_jax.evaluation.contents import draw, random_content

    dice = np.random.default_rng(0)
    for start in range(0, count, 50):
        numbers = range(start, min(start + 50, count))
        contents = [random_content(range(3 * i, 3 * i + 1 + i % 3), dice) for i in numbers]
        yield from (one.pixels for one in draw(contents, size))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--judges", type=Path)
    parser.add_argument("--size", type=int, default=96)
    args = parser.parse_args()
    evaluation = Evaluation("", Path(), "single", photos=args.photos, judges=args.judges)
    looker = JudgeLooker(evaluation.opened)
    pictures = (
        photographs(evaluation, args.pictures, args.size)
        if args.photos
        else made_up(args.pictures, args.size)
    )
    wall = cpu = 0.0
    faces = 0
    for picture in pictures:
        begin, used = time.perf_counter(), time.process_time()
        faces += len(looker(picture))
        wall, cpu = wall + time.perf_counter() - begin, cpu + time.process_time() - used
    cores = len(os.sched_getaffinity(0))
    what = f"{args.pictures} pictures of {args.size} px, {faces} faces"
    print(f"{what}: {wall:.0f} s on {cores} cores, {cpu:.0f} s of CPU time")


if __name__ == "__main__":
    main()
