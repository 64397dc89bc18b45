"""`dynamicid demo`: two people in one picture, end to end, with nothing to download.

The model is small and its weights are random, so the picture is noise: it shows that everything runs.
"""

import argparse
import sys
from typing import Any

from dynamicid_jax.cli.console import seed_number


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "demo", help="run the whole pipeline on a small random-weight model", description=__doc__
    )
    parser.add_argument(
        "--out", default="demo.png", metavar="PNG", help="demo.png; gate maps go beside it"
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, help="of weights, people and picture"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes a model on the spot, two people from random tokens, and a picture with gate maps."""
    import tempfile
    from pathlib import Path

    from dynamicid_jax.cli.console import one_line_warnings, steps_bar, use_compilation_cache
    from dynamicid_jax.inference.gate_maps import sheet
    from dynamicid_jax.inference.recipe import check_output, check_png, save_picture

    out = Path(args.out)
    maps = out.with_name(f"{out.stem}-gate_maps.png")
    check_png(out)
    check_output(out)

    import numpy as np

    from dynamicid_jax import DynamicIDPipeline
    from dynamicid_jax.inference.random_model import write_random_model

    print(
        "demo: a small model with RANDOM weights, made on the spot; the picture will be noise",
        file=sys.stderr,
    )
    with tempfile.TemporaryDirectory() as scratch, one_line_warnings(), steps_bar() as progress:
        use_compilation_cache()
        pipe = DynamicIDPipeline.from_pretrained(
            write_random_model(f"{scratch}/model", seed=args.seed)
        )
        shape = (2, *pipe.token_shape)
        tokens = np.random.default_rng(args.seed).standard_normal(shape, np.float32)
        boxes = [(0.05, 0.1, 0.45, 0.9), (0.55, 0.1, 0.95, 0.9)]
        people = [
            pipe.person(face_tokens=one, box=box) for one, box in zip(tokens, boxes, strict=True)
        ]
        result = pipe("two people in a garden", people, seed=args.seed, progress=progress)
    save_picture(sheet(result.images, result.gate_maps), maps)
    print(maps)
    print(save_picture(result.images[0], out, result.metadata["recipe"]))
    return 0
