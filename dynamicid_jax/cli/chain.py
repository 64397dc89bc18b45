"""`dynamicid chain`: several recipes one after the other, each on the model of the one before.

WORKDIR/<recipe>/ is an ordinary run of train.py for each; the last one's model/ is the result. WORKDIR/report.md and
curves.png show every stage's held-out loss. The same command again goes on where it was broken off.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.recipe import take_overrides

EXAMPLES = """\
examples:
  dynamicid prepare --photos att_faces --out DATASET --face_pack PACK --inside --split_by picture --heldout 2 \\
      --expression_judge JUDGE
  dynamicid chain --data DATASET --workdir RUN configs/small_faces/{autoencoder,base,anchoring,reconfiguration}.py
      a small base and both stages from photographs, on a CPU
  dynamicid sample --model RUN/reconfiguration/model --face_pack PACK --person 1.jpg \\
      --prompt "in a happy expression, in front view" --out out.png
--config.KEY=VALUE changes a key in all of the recipes.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "chain",
        help="train several recipes, each on the model of the one before",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="in order")
    parser.add_argument("--workdir", required=True, metavar="FOLDER", help="made if need be")
    parser.add_argument("--data", metavar="DATASET", help="the only source of every recipe")
    take_overrides(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 also where a signal ended it after saving."""
    from dataclasses import replace

    from dynamicid_jax.cli.console import one_line_warnings, use_compilation_cache
    from dynamicid_jax.config import SourceConfig, read_recipe
    from dynamicid_jax.training.chain import run_chain

    recipes = []
    for path in args.recipes:
        config = read_recipe(path, args.overrides)
        if args.data:
            config = replace(config, data=replace(config.data, sources=(SourceConfig(args.data),)))
        recipes.append((Path(path).stem, config))
    use_compilation_cache()
    with one_line_warnings():
        reports = run_chain(recipes, args.workdir, lambda text: print(text, flush=True))
    last = reports[-1]
    print(f"{last['stage']}: {last['status']}; {args.workdir}", file=sys.stderr)
    return 0
