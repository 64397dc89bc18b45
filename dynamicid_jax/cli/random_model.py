"""`dynamicid random_model`: a model folder with random weights, to try and to measure the machinery."""

import argparse
from typing import Any

from dynamicid_jax.cli.console import seed_number


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "random_model",
        help="write a model folder with random weights (tiny or SD1.5-size)",
        description=__doc__,
    )
    parser.add_argument(
        "--size", choices=("tiny", "sd15"), default="tiny", help="tiny: 4 MB; sd15: 7.3 GB"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="must not exist")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the weights")
    parser.add_argument(
        "--tokenizer", metavar="FOLDER", help="a CLIP tokenizer folder to copy; default: bytes only"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the folder and prints its path."""
    from dynamicid_jax.inference.random_model import write_random_model

    print(write_random_model(args.out, args.size, seed=args.seed, tokenizer=args.tokenizer))
    return 0
