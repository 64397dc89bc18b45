"""`dynamicid evaluate`: draws a suite of pictures, and measures what the model claims with judges of its own."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.console import seed_number

EXAMPLES = """\
examples:
  dynamicid evaluate --model mini --suite mini --out results
      draws and judges 17 pictures for each of 100 people; results/results.md is the table
  dynamicid evaluate --model mini --suite mini --out results --only sample
      phase 1, for a machine with an accelerator; phase 2 (--only judge) needs two CPU cores and the face pack
  dynamicid evaluate --model mini --suite mini --out quick --people 10 --claims one,two
      a look at some claims

Both phases go on where they were broken off. docs/EVALUATION.md says how everything is measured.
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
    parser.add_argument("--model", required=True, metavar="PATH", help='a model folder, or "mini"')
    parser.add_argument("--suite", default="mini", help="which pictures and claims (mini)")
    parser.add_argument("--out", required=True, metavar="DIR", help="where pictures and results go")
    parser.add_argument(
        "--people", type=seed_number, default=100, metavar="N", help="people measured on (100)"
    )
    parser.add_argument("--only", choices=("sample", "judge"), help="one of the two phases")
    parser.add_argument(
        "--batch", type=seed_number, default=64, metavar="N", help="rows of a batch (64)"
    )
    parser.add_argument("--claims", metavar="NAMES", help="some claims, parted by commas (all)")
    parser.add_argument(
        "--without_gate", metavar="PATH", help="a model trained without gate, for context"
    )
    parser.add_argument("--face_pack", metavar="PACK", help="a pack with judges/ (the model's own)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (by the device)")
    parser.add_argument(
        "--steps", type=seed_number, metavar="N", help="sampling steps (the model's)"
    )
    parser.add_argument("--sampler", help="ddim, dpmpp_2m, euler, lcm or tcd (the model's)")
    for name, default, what in (
        ("guidance_scale", 5.0, "of classifier-free guidance"),
        ("identity_scale", 1.0, "factor of the face branch"),
        ("layout_strength", 2.0, "in boxes"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{what} ({default})"
        )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs one phase or both.

    Raises:
        InputError: an unknown suite or claim, no people, or a folder of another run.
    """
    from dynamicid_jax.cli.console import one_line_warnings, use_compilation_cache
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.evaluation.claims import SUITES

    if args.suite not in SUITES:
        raise InputError(f"--suite {args.suite!r}: expected one of {', '.join(SUITES)}")
    if not args.people or not args.batch:
        raise InputError("--people, --batch: expected at least 1")
    suite = SUITES[args.suite]
    claims = suite.chosen(args.claims)
    shots = suite.shots(claims, args.people)
    with one_line_warnings():
        use_compilation_cache()
        if args.only != "judge":
            _sample(args, shots)
        if args.only != "sample":
            _judge(args, suite, claims, shots)
    return 0


def _sample(args: argparse.Namespace, shots: Any) -> None:
    from dataclasses import replace

    from dynamicid_jax.evaluation.judging import WITHOUT_GATE, context_shots
    from dynamicid_jax.evaluation.sampling import Settings, sample

    names = ("steps", "sampler", "guidance_scale", "identity_scale", "layout_strength")
    settings = Settings(**{name: getattr(args, name) for name in names})
    out = Path(args.out)
    pipe = _load(args, args.model)
    tell = _counter("drawn")
    sample(pipe, shots, out, settings, batch=args.batch, tell=tell)
    _note_refused(out, shots)
    if args.without_gate and (pairs := context_shots(shots)):
        bare = _load(args, args.without_gate)
        gateless = replace(settings, gate=False)
        tell = _counter("drawn without gate")
        sample(bare, pairs, out / WITHOUT_GATE, gateless, batch=args.batch, tell=tell)


def _note_refused(out: Path, shots: Any) -> None:
    """A word about pictures that could not be drawn: they count as failures."""
    from dynamicid_jax.evaluation.sampling import refused

    if errors := refused(out, shots):
        name, reason = next(iter(errors.items()))
        print(
            f"note: {len(errors)} of {len(shots)} pictures could not be drawn and count as wrong; {name}: {reason}",
            file=sys.stderr,
        )


def _load(args: argparse.Namespace, model: str) -> Any:
    from dynamicid_jax import DynamicIDPipeline

    pack = args.face_pack or _pack_folder(args.model)
    pipe = DynamicIDPipeline.from_pretrained(model, dtype=args.dtype, face_pack=pack)
    if pipe.config.weights == "random":
        print("note: this model's weights are random; its pictures are noise", file=sys.stderr)
    return pipe


def _pack_folder(model: str) -> Path:
    """The pack in a model's folder.

    Raises:
        MissingPartError: there is none.
    """
    from dynamicid_jax.convert.load import own_face_pack
    from dynamicid_jax.errors import MissingPartError

    folder = own_face_pack(model)
    if folder is None:
        raise MissingPartError(
            f"{model}: has no face pack of its own; pass --face_pack PACK, a pack with its judges in judges/"
        )
    return folder


def _judge(args: argparse.Namespace, suite: Any, claims: Any, shots: Any) -> None:
    from dynamicid_jax.convert.settings import read_json
    from dynamicid_jax.evaluation.judging import LOOKS, judge
    from dynamicid_jax.evaluation.looks import KeptLooks, PackLooker
    from dynamicid_jax.evaluation.report import results, table, write_results
    from dynamicid_jax.evaluation.sampling import RUN
    from dynamicid_jax.evaluation.sheets import write_sheets

    out = Path(args.out)
    looker = PackLooker(Path(args.face_pack or _pack_folder(args.model)))
    kept = KeptLooks(looker, out / LOOKS, looker.fingerprint)
    counters: dict[str, Callable[[int, int], None]] = {}

    def tell(what: str, done: int, total: int) -> None:
        counters.setdefault(what, _counter(f"judged: {what}"))(done, total)

    verdict = judge(out, shots, claims, kept, tell=tell)
    drawn = read_json(out / RUN)
    about = {
        "suite": suite.name,
        "people": args.people,
        "pictures": len(shots),
        "model": drawn["model"],
        "judges": looker.fingerprint,
        "sampling": f"{drawn['sampler']}, {drawn['steps']} steps, {drawn['dtype']}, {drawn['settings']}",
    }
    made = results(verdict.found, verdict.ceiling, suite.requirements, about)
    write_results(out, made, suite.requirements)
    write_sheets(out, verdict.seen, verdict.scores)
    print(table(made, suite.requirements))
    print(out / "results.md")


def _counter(what: str) -> Callable[[int, int], None]:
    """Progress as lines on stderr: the first, then at most every two seconds, and the last."""
    import time

    last = [0.0]

    def tell(done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last[0] >= 2:
            last[0] = now
            print(f"evaluate: {what}, {done} of {total}", file=sys.stderr, flush=True)

    return tell
