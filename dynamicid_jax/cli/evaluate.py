"""`dynamicid evaluate`: draws a suite of pictures, and measures what the model claims with judges of its own."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.console import counting_number, seed_number
from dynamicid_jax.cli.sample_options import parted_numbers

EXAMPLES = """\
examples:
  dynamicid evaluate --model mini --suite mini --out results
      draws and judges 3200 pictures of 300 made-up people (--people 100: 2000); results/report.html shows everything
  dynamicid evaluate --model mini --suite single --people 5 --out quick
      a look at one of the paper's tables: single, multi and edit work likewise
  dynamicid evaluate --model mini --suite single --skip 300 --people 50 --out others
      people whom our tables have not: 300 to 349
  dynamicid evaluate --model MODEL --suite edit --photos DIR --judges JUDGES --face_pack PACK --out results
      real people: a folder of photos for each, judges as docs/EVALUATION.md names them
  dynamicid evaluate --model OTHER --suite single --out other --compare results
      the same pictures of another model, and whether the difference is real
  dynamicid evaluate --suite single --photos DIR --judges JUDGES --out judges --only judges
      how good the judges are on these photos; draws nothing
  dynamicid evaluate --model mini --suite mini --out results --only sample
      phase 1, for a machine with an accelerator; phase 2 (--only judge) needs two CPU cores

Both phases go on where they were broken off. docs/EVALUATION.md says how everything is measured, and how to write a
suite of your own (a .toml file).
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure what a model claims, on people it has never seen",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", metavar="PATH", help='a model folder, or "mini"')
    parser.add_argument(
        "--suite", default="mini", help="mini, single, multi, edit, or a .toml file"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where pictures and results go")
    who = parser.add_argument_group("whom and by whom")
    who.add_argument("--people", type=seed_number, metavar="N", help="people (the suite's number)")
    who.add_argument(
        "--skip",
        type=seed_number,
        default=0,
        metavar="N",
        help="how many come before them and are left out: other people than the tables' (0)",
    )
    who.add_argument(
        "--photos", metavar="DIR", help="a folder of photos per person (made-up people)"
    )
    who.add_argument(
        "--judges", metavar="DIR", help="folder of the suite's judges (the packaged ones)"
    )
    who.add_argument("--face_pack", metavar="PACK", help="the pack the model uses (its own)")
    who.add_argument(
        "--trained_on",
        metavar="DATASET",
        nargs="+",
        default=[],
        help="whose people are refused, too",
    )
    what = parser.add_argument_group("what")
    what.add_argument("--only", choices=("sample", "judge", "judges", "compare"), help="one part")
    what.add_argument(
        "--compare", metavar="DIR", help="another evaluation of the suite, to compare with"
    )
    what.add_argument("--claims", metavar="NAMES", help="some claims, parted by commas (all)")
    what.add_argument(
        "--without_imr", action="store_true", help="no edits, where the suite permits"
    )
    what.add_argument(
        "--without_gate",
        metavar="PATH",
        help="a model trained without gate, for the measure context (suite mini)",
    )
    _add_sampling(parser.add_argument_group("sampling"))
    parser.set_defaults(run=run)


def _add_sampling(group: Any) -> None:
    group.add_argument(
        "--batch",
        type=counting_number,
        default=64,
        metavar="N",
        help="rows of a batch, at most (64)",
    )
    group.add_argument("--dtype", help="float32, bfloat16 or float16 (by the device)")
    group.add_argument(
        "--steps", type=seed_number, metavar="N", help="sampling steps (the model's)"
    )
    group.add_argument("--sampler", help="ddim, dpmpp_2m, euler, lcm or tcd (the model's)")
    group.add_argument("--no_gate", action="store_true", help="for a model trained without gate")
    group.add_argument(
        "--guidance_scale",
        type=float,
        metavar="X",
        help="of classifier-free guidance (the model's)",
    )
    group.add_argument(
        "--guidance_interval",
        type=parted_numbers("FROM,TO"),
        default=(0.0, 1.0),
        metavar="FROM,TO",
        help="fractions of the steps between which guidance acts (0,1)",
    )
    for name, default, what in (
        ("identity_scale", 1.0, "factor of the face branch"),
        ("layout_strength", 2.0, "in boxes"),
    ):
        group.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{what} ({default})"
        )


def run(args: argparse.Namespace) -> int:
    """Runs one part or all.

    Raises:
        InputError: an unknown suite or claim, no people, people who were trained on, or a folder of another run.
        MissingPartError: a missing judge, or a model without IMR that is asked for edits.
    """
    from dynamicid_jax.cli.console import one_line_warnings, use_compilation_cache
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.evaluation.run import compared

    out, other = Path(args.out), Path(args.compare) if args.compare else None
    if args.only == "compare":
        if other is None:
            raise InputError("--only compare: expected --compare DIR, too")
        print(compared(out, other))
        return 0
    if args.model is None and args.only not in ("judge", "judges"):
        raise InputError('--model: expected a model folder, or "mini"')
    if other is not None and args.only in ("sample", "judges"):
        raise InputError(
            f"--compare: --only {args.only} makes no numbers to compare; leave one out"
        )
    with one_line_warnings():
        use_compilation_cache()
        _run(evaluation_of(args), args.only, other)
    return 0


def _run(evaluation: Any, only: str | None, other: Path | None) -> None:
    evaluation.check(judging=only != "sample", other=other)
    if only == "judges":
        from dynamicid_jax.evaluation.ceilings import measure_judges

        print(measure_judges(evaluation))
        return
    if only != "judge":
        evaluation.draw()
    if only != "sample":
        print(evaluation.judge(other))
        print(evaluation.out / "report.html")


def evaluation_of(args: argparse.Namespace) -> Any:
    """The evaluation that options ask for; nothing is read yet."""
    from dataclasses import fields

    from dynamicid_jax.evaluation.run import Evaluation
    from dynamicid_jax.evaluation.runs import Settings

    names = [field.name for field in fields(Settings) if field.name != "gate"]
    settings = Settings(**{name: getattr(args, name) for name in names}, gate=not args.no_gate)
    folders = {
        name: Path(value).expanduser() if (value := getattr(args, name)) else None
        for name in ("photos", "judges", "face_pack")
    }
    return Evaluation(
        model=args.model,
        out=Path(args.out),
        suite=args.suite,
        people=args.people,
        skip=args.skip,
        claims=args.claims,
        trained_on=tuple(args.trained_on),
        without_imr=args.without_imr,
        without_gate=args.without_gate,
        settings=settings,
        batch=args.batch,
        dtype=args.dtype,
        tell=_teller(),
        note=lambda text: print(f"note: {text}", file=sys.stderr),
        **folders,
    )


def _teller() -> Callable[[str, int, int], None]:
    """Progress as lines on stderr: of each thing the first, then at most every two seconds, and the last."""
    import time

    last: dict[str, float] = {}

    def tell(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(what, 0.0) >= 2:
            last[what] = now
            print(f"evaluate: {what}, {done} of {total}", file=sys.stderr, flush=True)

    return tell
