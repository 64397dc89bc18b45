"""`dynamicid train` (= train.py): training is not part of this version, and this says so.

The door stands so that its name and its first two options are settled; see README for what works.
"""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser("train", help="(not in this version yet)", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="a recipe from configs/")
    parser.add_argument("--workdir", metavar="FOLDER", help="checkpoints, metrics and pictures")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Says that there is no training yet.

    Raises:
        MissingPartError: always.
    """
    from dynamicid_jax.errors import MissingPartError

    raise MissingPartError(
        "train: training is not part of this version yet; it draws pictures, converts checkpoints "
        "and checks photos (dynamicid --help)"
    )
