"""`dynamicid convert`: the published layout, or any model that we read, as our own model folder."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "convert",
        help="turn a diffusers folder with DynamicID's files into a model folder",
        description="Reads a diffusers SD1.5 folder with SAA.bin, IMR.bin, key_point_encoder.bin "
        "and image_encoder/ beside it (or our own model folder), checks every tensor, and writes a "
        "model folder: model.json and safetensors.",
    )
    parser.add_argument("source", metavar="SRC", help="folder to read")
    parser.add_argument("--out", required=True, metavar="DIR", help="model folder to write")
    parser.add_argument("--adapter", metavar="FILE", help="SAA.bin, where it is not in SRC")
    parser.add_argument("--imr", metavar="FILE", help="IMR.bin, likewise")
    parser.add_argument(
        "--keypoint_encoder", metavar="FILE", help="key_point_encoder.bin, likewise"
    )
    parser.add_argument("--image_encoder", metavar="DIR", help="CLIP vision folder, likewise")
    parser.add_argument(
        "--face_pack", metavar="DIR", help="face pack to copy; default: SRC/face_pack"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="of the weights; default: as stored",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model folder at DIR")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Converts, and prints what was written; a report of all that does not fit goes to stderr.

    Raises:
        DynamicIDError: what is wrong with the source or the target.
    """
    from dynamicid_jax.convert import model_folder
    from dynamicid_jax.convert.engine import MismatchError
    from dynamicid_jax.convert.load import load_any
    from dynamicid_jax.errors import InputError

    out = Path(args.out).expanduser()
    model_folder.check_target(out, args.overwrite)
    if args.face_pack is not None and not Path(args.face_pack).is_dir():
        raise InputError(f"--face_pack {args.face_pack}: no such folder")
    try:
        with _progress() as progress:
            loaded = load_any(
                args.source,
                adapter=args.adapter,
                imr=args.imr,
                keypoint_encoder=args.keypoint_encoder,
                image_encoder=args.image_encoder,
                dtype=args.dtype,
                place=lambda array: array,
                progress=progress,
            )
    except MismatchError as error:
        print(error.report.text(), file=sys.stderr)
        raise
    config, weights, tokenizer, own_pack = loaded
    pack = args.face_pack or own_pack
    model_folder.save(out, config, weights, tokenizer, pack, overwrite=args.overwrite)
    print("\n".join(summary(weights)))
    print(out)
    return 0


def summary(weights: dict[str, Any]) -> list[str]:
    """A line per component: tensors, values and size."""
    from dynamicid_jax.trees import flatten

    lines = []
    for component, tree in weights.items():
        leaves = list(flatten(tree).values())
        values, size = sum(leaf.size for leaf in leaves), sum(leaf.nbytes for leaf in leaves)
        counts = f"{len(leaves):5} tensors {values:13,} values {size / 1e6:9.1f} MB"
        lines.append(f"{component:18}{counts}")
    return lines


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar over the bytes read, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("opening", total=None)
        yield lambda where, done, total: bar.update(
            task, description=Path(where).name, completed=done, total=total
        )
