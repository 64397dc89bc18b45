"""A soak: one process draws many pictures; its memory stays flat and nothing is compiled again.

    python -m tests.fuzz.soak                  1 000 pictures by the packaged mini model
    python -m tests.fuzz.soak --pictures 60    a short one

Prompts, seeds, people, boxes, expressions and scales change with every picture, as a service's requests do; the number
of people goes round from 0 to 2, and its programs are compiled in the first round.
"""

import argparse
import gc
import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WARM = 50  # pictures after which memory must stay where it is
GROWTH = 0.02
PAGE = 4096
SIDE = 64  # pixels of a picture
FACES = ("happy", "sad, half left", None)


@dataclass
class Soak:
    """What was measured.

    Attributes:
        pictures: drawn.
        memory: resident bytes after every picture.
        compiled: programs compiled after the first WARM pictures.
        seconds: in all.
    """

    pictures: int
    memory: list[int]
    compiled: int
    seconds: float

    @property
    def growth(self) -> float:
        """Of resident memory since the first WARM pictures: medians of WARM pictures against each other."""
        start, end = (
            np.median(part) for part in (self.memory[WARM : 2 * WARM], self.memory[-WARM:])
        )
        return float(end / start - 1)


class Compilations(logging.Handler):
    """Counts the programs that JAX compiles, by its own log."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        import jax

        jax.config.update("jax_log_compiles", True)
        for name, handler in ("interpreters.pxla", self), ("dispatch", logging.NullHandler()):
            logger = logging.getLogger(f"jax._src.{name}")
            logger.addHandler(handler)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """One line is one program."""
        self.count += record.getMessage().startswith("Compiling ")


def resident() -> int:
    """Bytes of memory that the process holds (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def run(pictures: int, steps: int = 2, tell: Any = lambda number, memory: None) -> Soak:
    """Draws; `tell` hears of every picture."""
    from dynamicid_jax import DynamicIDPipeline
    from dynamicid_jax.packaged import MINI
    from dynamicid_jax.provenance.png import png_bytes

    compilations = Compilations()
    pipe = DynamicIDPipeline.from_pretrained(MINI)
    memory, begin, compiled = [], time.perf_counter(), 0
    for number in range(pictures):
        rng = np.random.default_rng(number)
        people = _people(pipe, rng, number % 3)
        out = pipe(
            f"{len(people)} people before the sea, number {number}",
            people,
            seed=number,
            steps=steps,
            height=SIDE,
            width=SIDE,
            guidance_scale=float(rng.uniform(2, 8)),
            layout_strength=float(rng.uniform(0, 3)),
        )
        png_bytes(out.images[0], out.metadata["recipe"])
        if number == WARM - 1:
            compiled = compilations.count
        gc.collect()
        memory.append(resident())
        tell(number, memory[-1])
    seconds = time.perf_counter() - begin
    return Soak(pictures, memory, compilations.count - compiled, seconds)


def _people(pipe: Any, rng: np.random.Generator, count: int) -> list[Any]:
    """People from the package's photos, side by side, with faces of their own."""
    from dynamicid_jax.packaged import photos
    from dynamicid_jax.provenance.consent import MADE_UP

    known = list(photos().values())
    return [
        pipe.person(
            known[int(rng.integers(len(known)))],
            face=FACES[int(rng.integers(len(FACES)))],
            box=(index / count, 0.1, (index + 1) / count, float(rng.uniform(0.5, 1))),
            consent=MADE_UP,
        )
        for index in range(count)
    ]


def main() -> int:
    """Prints what was measured; 1 where memory grew or something was compiled again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.soak", description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=2, help="sampling steps of each (2)")
    parser.add_argument("--json", help="write what was measured to this file")
    args = parser.parse_args()

    def tell(number: int, memory: int) -> None:
        if number % 50 == 49:
            print(f"{number + 1} pictures, {memory / 1e6:.1f} MB", file=sys.stderr, flush=True)

    done = run(args.pictures, args.steps, tell)
    print(
        f"soak: {done.pictures} pictures in {done.seconds:.0f} s, memory {100 * done.growth:+.2f} % after the first "
        f"{WARM}, {done.compiled} programs compiled after them"
    )
    if args.json:
        Path(args.json).write_text(json.dumps(vars(done)))
    return int(done.growth >= GROWTH or done.compiled > 0)


if __name__ == "__main__":
    sys.exit(main())
