"""`dynamicid train` (= train.py): train one stage from a recipe, or go on with a run that was broken off.

A recipe is a Python file (configs/); every value of it can be changed on the command line. The work folder holds all
about a run: checkpoints, metrics.jsonl, TensorBoard files, sample pictures, report.md and, at the end, model/, which
`dynamicid sample --model` loads. The same command again goes on after the last checkpoint.
"""

import argparse
import sys
from typing import Any

from dynamicid_jax.cli.recipe import take_overrides

EXAMPLES = """\
examples:
  python train.py --config configs/anchoring_sd15.py --workdir RUN1 \\
      --config.base=SD15 --config.image_encoder=CLIP_VIT_H \\
      --config.data.sources='[{"path": "DATASET"}]' --config.batch_size=64
      stage 1; WORKDIR/model is the result
  python train.py --config configs/reconfiguration_sd15.py --workdir RUN2 \\
      --config.base=RUN1/model --config.data.sources='[{"path": "DATASET"}]'
      stage 2, on top of it
  python train.py --config configs/anchoring_sd15.py --show
      every key of the recipe with its value, and nothing else

Ctrl-C or SIGTERM saves and leaves with exit code 0; a second one leaves at once. Several hosts: start the same command
on each (docs/TPU.md).
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "train",
        help="train a stage from a recipe, or go on with a run",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="a recipe from configs/; --config.KEY=VALUE changes it",
    )
    parser.add_argument("--workdir", metavar="FOLDER", help="made if need be; gs:// works too")
    parser.add_argument("--show", action="store_true", help="print the recipe and stop")
    take_overrides(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 also where a signal ended the run after it was saved."""
    from dynamicid_jax.cli.console import one_line_warnings, use_compilation_cache
    from dynamicid_jax.config import read_recipe, to_config_dict
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.training.loop import train

    config = read_recipe(args.config, args.overrides)
    if args.show:
        print(to_config_dict(config))
        return 0
    if not args.workdir:
        raise InputError("--workdir: where checkpoints, metrics and the model go; give a folder")
    use_compilation_cache()
    with one_line_warnings():
        report = train(config, args.workdir)
    print(
        f"{report['status']}: step {report['updates']['done']} of {config.steps}; {args.workdir}/report.md",
        file=sys.stderr,
    )
    return 0
