"""`dynamicid plan`: does a recipe fit a machine that is not here, and what limits it there?

It compiles the real training step for the machine, with shapes in the place of arrays, and says per device what it
holds, computes, moves and sends. Nothing is run; a full-size step takes 3 to 9 minutes on 2 cores.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.recipe import take_overrides

EXAMPLES = """\
examples:
  dynamicid plan --config configs/anchoring_sd15.py --topology v5e:16x16 --config.batch_size=2048
  dynamicid plan --config configs/reconfiguration_sd15.py --topology v5p-128 --json plan.json
  dynamicid plan --config configs/anchoring_sd15.py --config.random_base=tiny --topology cpu:8
      a rehearsal of the command that needs no libtpu
TPU topologies need libtpu, which installs and compiles on any Linux machine: pip install "dynamicid-jax[tpu]"
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "plan",
        help="compile a recipe for a TPU slice that is not here: memory, work, least time",
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
    parser.add_argument(
        "--topology", required=True, metavar="NAME", help="v5e:16x16, v5p-128, v6e:16x16, cpu:8"
    )
    parser.add_argument(
        "--input",
        choices=("features", "pictures"),
        default="features",
        help="what batches hold: precomputed features (default), or pictures and texts",
    )
    parser.add_argument("--chip", metavar="NAME", help="reckon with this chip's figures instead")
    parser.add_argument(
        "--json", metavar="FILE", help="write the plan there too; - for stdout alone"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print a row of docs/TPU.md's table"
    )
    parser.add_argument("--hlo", metavar="FILE", help="write the compiled program's text there")
    take_overrides(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compiles and prints.

    Raises:
        InputError: a recipe or a machine that is not usable, or too little memory (after printing).
        MissingPartError: libtpu is not installed.
    """
    from dynamicid_jax.planning import topology

    topology.prepare(args.topology)  # before anything uses JAX
    from dynamicid_jax.config import read_recipe
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.planning import table
    from dynamicid_jax.planning.base_shape import base_shape
    from dynamicid_jax.planning.plan import make_plan

    config = read_recipe(args.config, args.overrides)
    model, note = base_shape(config)
    machine = topology.find(args.topology, args.chip)
    if note:
        print(f"note: {note}", file=sys.stderr)
    if machine.platform == "tpu":
        print("compiling; minutes for a full-size model", file=sys.stderr)
    hlo = Path(args.hlo) if args.hlo else None
    plan = make_plan(config, model, machine, args.input == "features", hlo)
    values = json.dumps(plan.to_json(), indent=2)
    if args.json and args.json != "-":
        Path(args.json).write_text(values + "\n", encoding="utf-8")
    if args.json == "-":
        print(values)
    elif args.markdown:
        print(table.markdown_row(plan))
    else:
        print(table.text(plan))
    if not plan.memory.fits:
        raise InputError("; ".join(plan.advice))
    return 0
