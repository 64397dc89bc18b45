"""`dynamicid precompute`: the frozen networks' part of training, done once and kept."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

KINDS = ("moments", "text", "image", "face_text")  # data/features.py

EXAMPLES = """\
examples:
  dynamicid precompute --data DATASET --model MODEL --out FEATURES --image_size 512
      everything that the dataset and the model allow, in float16
  dynamicid precompute --data DATASET --model MODEL --out FEATURES --image_size 512 \\
      --features moments,text
      the rest is stored as training would read it from the pictures

FEATURES takes the place of DATASET in a training config. After an interruption the same command goes on.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "precompute",
        help="run the frozen networks over a dataset once, for faster training",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", required=True, metavar="DATASET", help="made by `dynamicid prepare`"
    )
    parser.add_argument("--model", required=True, help="the model that is to be trained")
    parser.add_argument("--out", required=True, metavar="FEATURES", help="must not exist")
    parser.add_argument(
        "--image_size",
        type=_positive,
        required=True,
        metavar="N",
        help="side of the training pictures",
    )
    parser.add_argument(
        "--features",
        type=lambda text: text.split(","),
        metavar="A,B",
        help=f"out of {', '.join(KINDS)}; default: all that are possible",
    )
    parser.add_argument(
        "--dtype", choices=("float16", "bfloat16"), default="float16", help="of the stored features"
    )
    parser.add_argument(
        "--batch_size",
        type=_positive,
        default=8,
        metavar="N",
        help="pictures at a time; default: 8",
    )
    parser.set_defaults(run=run)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Prints the sizes, computes, and prints the folder.

    Raises:
        DynamicIDError: what is wrong with the dataset, the model or the folder.
    """
    from dynamicid_jax.cli.console import use_compilation_cache
    from dynamicid_jax.convert.load import load_any
    from dynamicid_jax.data import store
    from dynamicid_jax.data.dataset import open_dataset
    from dynamicid_jax.data.features import Frozen, plan_job
    from dynamicid_jax.data.precompute import precompute
    from dynamicid_jax.inference.tokenizer import Tokenizer

    store.check_out(args.out, overwrite=False)
    dataset = open_dataset(args.data)
    use_compilation_cache()
    loaded = load_any(args.model, place=lambda array: array)
    tokenizer = Tokenizer(loaded.tokenizer_dir, loaded.config.text_encoder.max_length)
    frozen = Frozen(loaded.config, loaded.weights, tokenizer)
    job = plan_job(dataset, frozen, args.image_size, args.features, args.dtype)
    print("\n".join(job.sizes()), flush=True)
    with _progress() as tell:
        precompute(dataset, frozen, job, args.out, batch_size=args.batch_size, tell=tell)
    print(args.out)
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per split, on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True)
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def tell(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = bar.add_task(split, total=total)
            bar.update(tasks[split], completed=done)

        yield tell
