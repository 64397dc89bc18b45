"""`dynamicid mini`: train the mini model, every part of it, within a given time.

Face networks, autoencoder, image and text encoder, base, anchoring, reconfiguration: all on made-up people that are
drawn while they are needed, so there is nothing to prepare. configs/mini/budgets.py says how the time is shared out.
Interrupt it as you like: the same command goes on, and time in which it did not run does not count.
"""

import argparse
import sys
from typing import Any

EXAMPLES = """\
examples:
  dynamicid mini --workdir RUN --device-minutes 25
      on one GPU of the H200's class
  dynamicid mini --workdir RUN --device-minutes 300 --budget cores
      on two CPU cores
  dynamicid mini --workdir RUN --device-minutes 300 --parts base anchoring reconfiguration
      some of its parts
  dynamicid mini --workdir RUN --device-minutes 25 --start mini --parts clip base anchoring reconfiguration
      more training for the packaged model, on an autoencoder and face networks that stay as they are
  dynamicid export --model RUN/faces --to face_pack --out PACK
  dynamicid sample --model RUN/model --face_pack PACK --person 1.jpg --prompt "one person before the sea" --out out.png
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "mini",
        help="train the mini model on made-up people within a given time",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, metavar="FOLDER", help="made if need be")
    parser.add_argument(
        "--device-minutes",
        type=float,
        required=True,
        metavar="N",
        dest="minutes",
        help="time for all of it, over all calls",
    )
    parser.add_argument(
        "--budget",
        choices=("gpu", "cores"),
        help="how the time is shared out; left out: by the device that JAX finds",
    )
    parser.add_argument("--parts", nargs="+", metavar="PART", help="only these, in their order")
    parser.add_argument(
        "--start",
        default="",
        metavar="MODEL",
        help='go on with a model, "mini" for the packaged one; left out: from random weights',
    )
    parser.add_argument(
        "--recipes", default="configs/mini", metavar="FOLDER", help="default: configs/mini"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 also where a signal ended it after saving."""
    from pathlib import Path

    from dynamicid_jax.errors import InputError
    from dynamicid_jax.training.mini import MiniRun, read_budget

    if args.minutes <= 0:
        raise InputError(f"--device-minutes {args.minutes:g}: expected a positive number")
    recipes = Path(args.recipes)
    budget = args.budget or _by_device()
    groups = read_budget(recipes, budget)
    if args.parts:
        known = [part.name for group in groups for part in group]
        if unknown := sorted(set(args.parts) - set(known)):
            raise InputError(f"--parts {unknown[0]}: expected some of {', '.join(known)}")
        groups = [[part for part in group if part.name in args.parts] for group in groups]
        groups = [group for group in groups if group]
    workdir, say = Path(args.workdir), lambda text: print(text, flush=True)
    ahead = budget == "gpu"
    chain = MiniRun(recipes, workdir, groups, args.minutes, say, args.start, ahead)
    finished = chain.run()
    print(f"{'finished' if finished else 'stopped'}: {args.workdir}", file=sys.stderr)
    return 0


def _by_device() -> str:
    """The budget for this machine; asked in a process of its own, so that the device stays free."""
    import subprocess

    found = subprocess.run(
        [sys.executable, "-c", "import jax; print(jax.default_backend())"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    return "gpu" if found[-1:] == ["gpu"] else "cores"
