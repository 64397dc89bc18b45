"""`dynamicid reproduce`: the first real run in one command that can be broken off and goes on.

It checks what is there and says of what is missing where it is found and under which licence (nothing is downloaded);
converts the published checkpoint; runs the suites single, multi and edit; says what training both stages would cost
and, if you like, does it; and writes OUT/report, a folder to attach to a pull request.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.console import seed_number
from dynamicid_jax.cli.recipe import take_overrides

RECIPES = ("configs/anchoring_sd15.py", "configs/reconfiguration_sd15.py")
UTILISATION = (
    0.3  # of the peak rate: docs/TPU.md's rooflines allow 0.2 (v5e) to 0.5 (v5p) for these steps
)

EXAMPLES = """\
examples:
  dynamicid reproduce --base SD15 --checkpoint PUBLISHED --face_pack PACK --photos PHOTOS --judges JUDGES --out RUN
      looks what is there, converts and runs the three suites; RUN/report is the result
  dynamicid reproduce ... --check
      only what is there, what is missing, where it is found, under which licence
  dynamicid reproduce ... --train OTHER_PHOTOS --device H100 --devices 8 --hourly_price 2.5
      says what training both stages costs; with --yes it is done
  dynamicid reproduce --checkpoint mini --people 2 --out REHEARSAL
      a rehearsal on the packaged mini model and made-up people, in minutes on two cores

PHOTOS holds a folder per person with two photographs or more. docs/FIRST_REAL_RUN.md tells more.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "reproduce",
        help="the published checkpoint against the paper's tables, on real faces",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="PUBLISHED",
        help='folder with SAA.bin and the others; a model folder or "mini" rehearses',
    )
    parser.add_argument("--base", metavar="SD15", help="diffusers folder (the checkpoint's)")
    parser.add_argument("--image_encoder", metavar="DIR", help="CLIP folder (the checkpoint's)")
    parser.add_argument(
        "--face_pack", metavar="PACK", help="folder or name of a pack (the model's)"
    )
    parser.add_argument("--photos", metavar="DIR", help="a folder per person (made-up people)")
    parser.add_argument(
        "--judges", metavar="DIR", help="judges of real faces (judges/ beside the pack)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where everything goes")
    parser.add_argument("--check", action="store_true", help="only look what is there")
    parser.add_argument(
        "--fill", metavar="PAGE", help="fill the table of a checkout's docs/FIRST_REAL_RUN.md, too"
    )
    parser.add_argument(
        "--suites",
        default="single,multi,edit",
        metavar="NAMES",
        help="some of these three, or files called so, with judges of your own (all three)",
    )
    parser.add_argument(
        "--people", type=seed_number, metavar="N", help="people (the suites' number)"
    )
    parser.add_argument(
        "--evaluate",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="more evaluate options: steps=20",
    )
    parser.add_argument(
        "--retries", type=seed_number, default=1, metavar="N", help="of crashes (1)"
    )
    _add_training(parser.add_argument_group("training both stages"))
    take_overrides(parser)
    parser.set_defaults(run=run)


def _add_training(group: Any) -> None:
    group.add_argument(
        "--train",
        nargs="?",
        const="",
        metavar="DIR",
        help="say what it costs: photos of other people, or a prepared dataset; without DIR the recipes' own data",
    )
    group.add_argument("--yes", action="store_true", help="and do it")
    group.add_argument(
        "--recipes", nargs="+", metavar="FILE", help="both stages' (configs/*_sd15.py)"
    )
    group.add_argument("--device", default="H100", metavar="NAME", help="for the cost (H100)")
    group.add_argument("--devices", type=seed_number, default=8, metavar="N", help="how many (8)")
    group.add_argument(
        "--hourly_price", type=float, metavar="X", help="of one device, in any currency"
    )
    group.add_argument(
        "--utilisation",
        type=float,
        default=UTILISATION,
        metavar="U",
        help=f"share of the peak rate ({UTILISATION}, an assumption)",
    )


def run(args: argparse.Namespace) -> int:
    """Checks, then runs what is not done yet, then reports.

    Raises:
        MissingPartError: something is missing without which nothing can be run; check.md is written.
        InputError: an unknown suite, device or option, a folder of another run, or commands that failed.
    """
    from dynamicid_jax.reproduction.check import check, rehearsal
    from dynamicid_jax.reproduction.findings import page, refuse_missing
    from dynamicid_jax.reproduction.report import fill_page, write_report

    inputs, out = _inputs(args), Path(args.out).expanduser()
    _make(out)
    findings = check(inputs)
    _tell(page(findings), out / "check.md")
    if args.check:
        return 0
    refuse_missing(findings, training=args.yes)
    choice, why = _choice(args, inputs, findings), rehearsal(inputs)
    _check_ahead(args, inputs, choice, why)
    if args.train is not None:
        _tell_cost(args, inputs, choice, out)
    failed = _run(args, inputs, choice, out)
    folder = write_report(out, why)
    if args.fill and not failed:
        fill_page(out, Path(args.fill))
    print((folder / "README.md").read_text("utf-8"))
    print(folder)
    return _ended(failed)


def _inputs(args: argparse.Namespace) -> Any:
    """What is given.

    Raises:
        InputError: an unknown suite.
    """
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.reproduction.inputs import Inputs
    from dynamicid_jax.reproduction.paper import SUITES

    suites = [name.strip() for name in args.suites.split(",") if name.strip()]
    stems = [Path(name).stem for name in suites]
    if not suites or set(stems) - set(SUITES) or len(set(stems)) < len(stems):
        raise InputError(
            f"--suites {args.suites!r}: expected some of {', '.join(SUITES)}, or files called so"
        )
    if args.yes and args.train is None:
        raise InputError("--yes: begins a training; say with --train on what")
    names = ("checkpoint", "base", "image_encoder", "face_pack", "photos", "judges", "train")
    return Inputs(
        **{name: getattr(args, name) for name in names},
        suites=tuple(suites),
        recipes=tuple(args.recipes or RECIPES),
        overrides=tuple(args.overrides),
    )


def _make(out: Path) -> None:
    from dynamicid_jax.errors import OutputError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error


def _tell(text: str, file: Path) -> None:
    """Prints a page, and keeps it."""
    from dynamicid_jax.files import write_atomically

    write_atomically(file, lambda stream: stream.write(text.encode()))
    print(text)


def _choice(args: argparse.Namespace, inputs: Any, findings: Any) -> Any:
    """What is run and how; everything it names is there."""
    from dynamicid_jax.config import read_recipe
    from dynamicid_jax.jobs.words import options, read_options
    from dynamicid_jax.reproduction.commands import EDIT, Choice
    from dynamicid_jax.reproduction.findings import can_edit

    suites = [name for name in inputs.suites if Path(name).stem != EDIT or can_edit(findings)]
    if len(suites) < len(inputs.suites):
        print("note: nobody can be edited (see above); suite edit is left out", file=sys.stderr)
    people = () if args.people is None else ("--people", str(args.people))
    size = 0
    if args.train is not None:
        size = read_recipe(inputs.recipes[0], inputs.overrides).data.image_size
    return Choice(
        suites=tuple(suites),
        evaluate=(*people, *options(read_options(args.evaluate))),
        recipes=inputs.recipes,
        overrides=inputs.overrides,
        train=args.train or "",
        image_size=size,
    )


def _check_ahead(args: argparse.Namespace, inputs: Any, choice: Any, why: str) -> None:
    """What would be found only after hours.

    Raises:
        InputError: options that no evaluation takes, recipes that cannot be told apart, or a document that cannot be
            filled, or not with a rehearsal's numbers (`why`).
    """
    from dynamicid_jax.cli.ahead import check_evaluation
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.jobs.words import read_options
    from dynamicid_jax.reproduction.commands import evaluation_words
    from dynamicid_jax.reproduction.report import check_page
    from dynamicid_jax.sweeps.files import check_recipes

    given = ("suite", "people", "photos", "judges", "face_pack")
    if own := [name for name in read_options(args.evaluate) if name in given]:
        raise InputError(
            f"--evaluate {own[0]}: has an option of its own; give --{own[0]} or --suites"
        )
    for suite in choice.suites:
        words = evaluation_words(inputs, choice, suite, str(inputs.pack))
        check_evaluation(words, f"suite {suite}")
    check_recipes(inputs.recipes, "--recipes")
    if args.fill and why:
        raise InputError(f"--fill: this is a rehearsal ({why}); its numbers stay out of documents")
    if args.fill:
        check_page(Path(args.fill))


def _tell_cost(args: argparse.Namespace, inputs: Any, choice: Any, out: Path) -> None:
    """Prints what training costs, and keeps it in cost.md."""
    from dynamicid_jax.config import read_recipe
    from dynamicid_jax.reproduction.check import model_shape
    from dynamicid_jax.reproduction.cost import cost, machine, page

    on = machine(args.device, args.devices, args.hourly_price, args.utilisation)
    model = model_shape(inputs)
    costs = [cost(read_recipe(one, choice.overrides), model, on) for one in choice.recipes]
    _tell(page(costs, on), out / "cost.md")


def _run(args: argparse.Namespace, inputs: Any, choice: Any, out: Path) -> dict[str, str]:
    """Runs the jobs; why, by job, for those that are not finished."""
    from dynamicid_jax.jobs.job import write_job
    from dynamicid_jax.jobs.run import run_job
    from dynamicid_jax.reproduction.commands import published_commands, trained_commands

    published, trained = out / "published", out / "trained"
    jobs = {published: published_commands(inputs, choice, published)}
    if args.train is not None and args.yes:
        jobs[trained] = trained_commands(inputs, choice, trained, published)
    elif args.train is not None:
        print("note: training is not begun; --yes begins it", file=sys.stderr)
    for folder, commands in jobs.items():
        write_job(folder, commands)
        print(f"reproduce: {folder}/log.txt is what its commands say", file=sys.stderr, flush=True)
        state = run_job(folder, retries=args.retries, say=_say)
        if state.status != "finished":
            return {folder.name: state.error or state.status}
    return {}


def _say(text: str) -> None:
    print(f"reproduce: {text}", file=sys.stderr, flush=True)


def _ended(failed: dict[str, str]) -> int:
    """0, or the one line that says what failed.

    Raises:
        InputError: something did; the same command goes on from there.
    """
    from dynamicid_jax.errors import InputError

    for name, why in failed.items():
        if why == "stopped":
            print(f"stopped in {name}; the same command goes on", file=sys.stderr)
            return 0
        raise InputError(f"reproduce: {name}: {why}. Mend it and give the same command: it goes on")
    return 0
