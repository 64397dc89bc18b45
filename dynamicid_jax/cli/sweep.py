"""`dynamicid sweep`: a whole study as trials, each an ordinary training and evaluation, and one table of them all.

A sweep file (configs/sweeps/) says which recipes, which changes and what is evaluated. DIR/<trial>/ is made of ordinary
commands, written down in its job.json. The same call again goes on with what is not finished; what failed is begun
again; one that fails stops no other.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.console import seed_number
from dynamicid_jax.cli.recipe import take_overrides

EXAMPLES = """\
examples:
  dynamicid sweep --sweep configs/sweeps/ablation.py --show
      the trials and their commands; runs nothing
  dynamicid sweep --sweep configs/sweeps/ablation.py --only 'full,without_*' --config.steps=2000
      the paper's rows on the mini model, one after the other, with fewer updates, in sweeps/ablation
  dynamicid sweep --sweep configs/sweeps/ablation.py --launcher local --jobs 4 --gpus 1
      four at a time, each on a GPU of its own
  dynamicid sweep --sweep configs/sweeps/ablation.py --launcher ray --address auto --gpus 1 --retries 3
      on a Ray cluster (pip install 'dynamicid-jax[sweep]'); without --address one is started on this machine
  dynamicid sweep --sweep configs/sweeps/ablation.py --launcher slurm --gpus 1 --sbatch='--partition=gpu --time=4:00:00'
      one array job
  dynamicid sweep --sweep configs/sweeps/ablation.py --report --sort single_face_sim
      curves and a table with intervals of what is there by now; rows not run stay empty

docs/SWEEPS.md tells more.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "sweep",
        help="run a study of many trainings: locally, on Ray, on Slurm; draw its table",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sweep", metavar="FILE", help="a sweep from configs/sweeps/")
    parser.add_argument(
        "--out", metavar="DIR", help="where everything goes (sweeps/NAME OF THE FILE)"
    )
    parser.add_argument(
        "--recipes", nargs="+", metavar="FILE", help="instead of the sweep's, in order"
    )
    parser.add_argument("--only", metavar="NAMES", help="some trials, by patterns parted by commas")
    parser.add_argument(
        "--evaluate",
        metavar="KEY=VALUE",
        nargs="+",
        default=[],
        help="options of `dynamicid evaluate` for all trials, such as people=24",
    )
    parser.add_argument(
        "--show", action="store_true", help="print trials and commands, run nothing"
    )
    _add_launchers(parser)
    report = parser.add_argument_group("report")
    report.add_argument("--report", action="store_true", help="table and curves of what is there")
    report.add_argument("--sort", metavar="MEASURE", help="column to sort by (the first one)")
    one = parser.add_argument_group("one trial, which is what the launchers call")
    one.add_argument("--trial", metavar="NAME", help="run this trial of DIR")
    one.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)
    take_overrides(parser)
    parser.set_defaults(run=run)


def _add_launchers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("launcher")
    group.add_argument(
        "--launcher", choices=("local", "ray", "slurm"), default="local", help="where (local)"
    )
    group.add_argument(
        "--jobs", type=seed_number, metavar="K", help="trials at a time (local: 1; else no limit)"
    )
    group.add_argument(
        "--retries",
        type=seed_number,
        default=1,
        metavar="N",
        help="of what crashes or is killed (1)",
    )
    for name, default, what in (
        ("cpus", 1, "cores"),
        ("gpus", 0, "GPUs"),
        ("tpus", 0, "TPU chips"),
    ):
        group.add_argument(
            f"--{name}",
            type=_part if name == "gpus" else seed_number,
            default=default,
            metavar="N",
            help=f"{what} per trial ({default})",
        )
    group.add_argument(
        "--address",
        metavar="ADDR",
        help="ray: of a cluster (auto, HOST:PORT); left out: a local one",
    )
    group.add_argument("--sbatch", default="", metavar="OPTIONS", help="slurm: more sbatch options")


def _part(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Runs trials, one trial, or the report.

    Raises:
        InputError: a sweep, trial, option or folder that is not usable, or trials that failed (after all have run).
        MissingPartError: Ray or Slurm is not here.
    """
    from dynamicid_jax.errors import InputError

    if not args.sweep and not args.out:
        raise InputError("--sweep: give a sweep file, or --out with the folder of one that was run")
    out = Path(args.out) if args.out else Path("sweeps") / Path(args.sweep).stem
    if args.trial is not None:
        return _one(args, out)
    if args.report:
        return _report(args, out)
    return _all(args, out)


def _one(args: argparse.Namespace, out: Path) -> int:
    """What runs in a trial's own process: imports little, as the work is done by others."""
    from dynamicid_jax.jobs.run import run_job

    state = run_job(
        out / args.trial,
        retries=args.retries,
        parent=args.parent,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if state.error:
        print(f"error: {state.error}", file=sys.stderr)
    return 0 if state.status in ("finished", "stopped") else 1


def _all(args: argparse.Namespace, out: Path) -> int:
    """Prepares the chosen trials, runs those that are not finished, and draws the table."""
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.sweeps import trial as trials
    from dynamicid_jax.sweeps.launch import unfinished

    sweep, chosen = _read(args, out)
    if args.show:
        _show(args, sweep, chosen, out)
        return 0
    if args.jobs == 0 or args.cpus == 0:
        raise InputError("--jobs, --cpus: expected at least 1")
    if args.sweep:
        trials.check(sweep, chosen, args.overrides)
        _check_evaluations(args, sweep, chosen)
        trials.prepare(sweep, chosen, out, args.overrides)
    names = [one.name for one in chosen]
    left = unfinished(out, names)
    if len(left) < len(names):
        _say(f"{len(names) - len(left)} trials are finished already")
    if left:
        _launch(args, out, left)
    if args.launcher == "slurm":
        return 0
    _report(args, out)
    if failed := unfinished(out, left):
        raise InputError(
            f"{len(failed)} of {len(names)} trials are not finished ({', '.join(failed)}); {out}/TRIAL/log.txt says "
            "why, and the same command goes on with them"
        )
    return 0


def _check_evaluations(args: argparse.Namespace, sweep: Any, chosen: Any) -> None:
    """What would be found only after a training.

    Raises:
        InputError: an evaluation that could not be begun.
    """
    from dynamicid_jax.cli.ahead import check_evaluation
    from dynamicid_jax.sweeps import trial as trials

    wholes = [sweep.whole(one) for one in chosen]
    asked: dict[tuple[Any, ...], str] = {}
    for one in wholes:
        words = tuple(trials.evaluation_words(one))
        asked.setdefault((words, trials.datasets(one, args.overrides)), one.name)
    for (words, datasets), name in asked.items():
        check_evaluation(words, f"trial {name!r}", datasets)


def _read(args: argparse.Namespace, out: Path) -> Any:
    """The sweep, and those of its trials that are to run."""
    from dataclasses import replace

    from dynamicid_jax.jobs.job import JOB
    from dynamicid_jax.jobs.words import read_options
    from dynamicid_jax.sweeps.files import check_options, read_sweep
    from dynamicid_jax.sweeps.trial import read_rows

    if not args.sweep:  # go on with what was prepared, as it was
        sweep = read_rows(out)
        return sweep, [one for one in sweep.chosen(args.only) if (out / one.name / JOB).is_file()]
    sweep = read_sweep(Path(args.sweep))
    if args.recipes:
        sweep = replace(sweep, recipes=tuple(args.recipes))
    more = read_options(args.evaluate)
    check_options(more, "--evaluate")
    return sweep, [
        replace(one, evaluate={**one.evaluate, **more}) for one in sweep.chosen(args.only)
    ]


def _show(args: argparse.Namespace, sweep: Any, chosen: Any, out: Path) -> None:
    import shlex

    from dynamicid_jax.sweeps.trial import commands

    for one in chosen:
        print(f"{one.name}: {one.about}".rstrip(": "))
        for command in commands(sweep.whole(one), out / one.name, args.overrides):
            print(f"  {shlex.join(command.words)}")


def _launch(args: argparse.Namespace, out: Path, names: list[str]) -> None:
    from dynamicid_jax.sweeps.launch import Resources

    resources = Resources(args.cpus, args.gpus, args.tpus)
    if args.launcher == "local":
        from dynamicid_jax.sweeps.local import run_local

        run_local(out, names, args.jobs or 1, args.retries, resources, _say)
    elif args.launcher == "ray":
        from dynamicid_jax.sweeps.on_ray import LOCAL, run_ray

        run_ray(out, names, args.address or LOCAL, args.jobs, args.retries, resources, _say)
    else:
        from dynamicid_jax.sweeps import slurm

        text = slurm.script(out, names, args.jobs, args.retries, resources, args.sbatch)
        print(slurm.submit(out, text))


def _say(text: str) -> None:
    print(f"sweep: {text}", file=sys.stderr, flush=True)


def _report(args: argparse.Namespace, out: Path) -> int:
    from dynamicid_jax.sweeps.files import read_sweep
    from dynamicid_jax.sweeps.report import write_report
    from dynamicid_jax.sweeps.trial import read_rows

    sweep = read_sweep(Path(args.sweep)) if args.sweep else read_rows(out)
    print(write_report(sweep, out, args.sort))
    return 0
