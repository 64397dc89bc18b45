"""The one entry point, `dynamicid COMMAND ...` (= `python -m dynamicid_jax`), and its errors.

A command is one module beside this one with `add_parser(subparsers)`, which only parses, and
`run(args) -> int`, which imports what it needs: `dynamicid --help` never waits for JAX.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

import dynamicid_jax
from dynamicid_jax.cli import (
    app,
    chain,
    convert,
    demo,
    evaluate,
    export,
    faces,
    mini,
    person,
    plan,
    precompute,
    prepare,
    random_model,
    reproduce,
    sample,
    sweep,
    train,
    world,
)
from dynamicid_jax.errors import DynamicIDError

COMMANDS = (  # in the order of --help
    sample,
    faces,
    person,
    prepare,
    precompute,
    train,
    world,
    chain,
    mini,
    plan,
    convert,
    export,
    evaluate,
    sweep,
    reproduce,
    random_model,
    demo,
    app,
)

EXAMPLES = """\
examples:
  dynamicid demo
      made-up people by the packaged mini model; needs no files
  dynamicid app --model mini
      the same by hand, on a page in the browser
  dynamicid faces alice.png --face_pack PACK
      is this photo good enough, and what was found in it?
  dynamicid sample --model MODEL --face_pack PACK --person alice.png \\
      --prompt "a woman in a garden" --out out.png
      a picture of her; `dynamicid sample --help` shows expressions, poses and several people
  dynamicid prepare --photos DIR --out DATASET --face_pack PACK
      folders of photographs, one per person, as a dataset to train on
  dynamicid train --config configs/anchoring_sd15.py --workdir RUN --config.base=SD15
      trains a stage (= python train.py); RUN/model is what sample loads
  dynamicid evaluate --model mini --suite mini --out results
      measures what a model claims, on people it has never seen
  dynamicid sweep --sweep configs/sweeps/ablation.py --jobs 2
      a study of many trainings, and one table of them all; on Ray or Slurm as well
  dynamicid convert MODEL --out FOLDER
      a published checkpoint as a model folder that loads faster and needs no PyTorch

`dynamicid COMMAND --help` explains a command.
exit codes: 0 done; 2 something in the request is not usable, said in one line; 130 interrupted
"""

TRAIN = "optax orbax grain tensorflow_datasets array_record importlib_resources ml_collections absl"
EXTRAS = {"torch": "convert", "ray": "sweep", "starlette": "app", "uvicorn": "app"} | dict.fromkeys(
    TRAIN.split(), "train"
)
"""Packages that only some commands need, and the extra that brings them."""

BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
CLOSED_PIPE = 141  # 128 + SIGPIPE


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors, and without guessing options from their first letters."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line and exits with code 2."""
        self.exit(BAD_INPUT, f"error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    parser = Parser(
        prog="dynamicid",
        description="Pictures of one or several people from a photograph of each.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show versions and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND [options]", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    """Prints versions; they are looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        parts = [f"dynamicid-jax {dynamicid_jax.__version__}"]
        parts += [f"{name} {version(name)}" for name in ("jax", "flax")]
        print(*parts, sep=", ")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code (argparse itself exits: --help, bad options).

    Whatever a user can mend is one line on stderr and code 2; any other exception is a defect of
    ours and keeps its traceback.
    """
    args = build_parser().parse_args(argv)
    try:
        code = args.run(args)
        sys.stdout.flush()  # a reader that is gone shows here, not while Python shuts down
    except DynamicIDError as error:
        return _say(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _say(f"this needs {error.name}: pip install 'dynamicid-jax[{extra}]'")
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
        return CLOSED_PIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        return _say(f"no space left on the disk{where}; free some space or give another folder")
    return code


def _say(message: str, code: int = BAD_INPUT) -> int:
    """One line on stderr, whatever the message holds."""
    line = " ".join(part.strip() for part in message.splitlines())
    print(f"error: {line}", file=sys.stderr)
    return code
