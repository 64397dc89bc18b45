"""Options of `dynamicid evaluate` for models that are still to be made, looked at before hours of work."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from dynamicid_jax.errors import DynamicIDError, InputError

MODEL, OUT = "-model to be made-", "-folder to be made-"  # no names of files


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving; has no --help."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "add_help": False, **options})

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def check_evaluation(words: Sequence[str], where: str, datasets: Sequence[str] = ()) -> None:
    """Whether an evaluation of a model that brings no face pack of its own can be begun once there is the model.

    Looks at options and their values, suite, people, judges and face pack.

    Args:
        words: the options, without --model and --out.
        where: whose they are, for messages.
        datasets: what the model is to be trained on; its people may not be evaluated. Only those of this machine are
            looked at.

    Raises:
        InputError: something is wrong or missing.
    """
    from dynamicid_jax.cli import evaluate

    parser = _Parser()
    evaluate.add_parser(parser.add_subparsers())
    try:
        args = parser.parse_args(["evaluate", "--model", MODEL, "--out", OUT, *words])
        if (args.model, args.out, args.only) != (MODEL, OUT, None):
            raise InputError(
                "--model, --out and --only are set for every evaluation; leave them out"
            )
        _check(args, datasets)
    except DynamicIDError as error:
        raise InputError(f"{where}: evaluate: {error}") from None


def _check(args: argparse.Namespace, datasets: Sequence[str]) -> None:
    from pathlib import Path

    from dynamicid_jax.cli.evaluate import evaluation_of
    from dynamicid_jax.convert.parts import parse_dtype
    from dynamicid_jax.data.store import is_local
    from dynamicid_jax.evaluation.leaks import check_leaks, everybody
    from dynamicid_jax.faces.pack import FacePack
    from dynamicid_jax.inference.request import Request
    from dynamicid_jax.models.configs import ModelConfig
    from dynamicid_jax.packaged import model_path

    parse_dtype(args.dtype)
    evaluation = evaluation_of(args)
    Request.resolve(ModelConfig(), prompt="", **vars(evaluation.settings))
    evaluation.check(other=Path(args.compare) if args.compare else None)
    if args.face_pack is None:
        raise InputError("--face_pack: a model that was trained has none of its own; name one")
    FacePack.load(args.face_pack)
    near = [path for path in datasets if is_local(path) and args.photos]
    people = everybody(evaluation.shots())
    check_leaks(MODEL, evaluation.cast, people, [*args.trained_on, *near])
    if args.without_gate and not model_path(args.without_gate).is_dir():
        raise InputError(f"--without_gate {args.without_gate}: no such folder")
