"""`dynamicid world`: made-up people, as sheets to look at and as folders to try things on."""

import argparse
import sys
from typing import Any

from dynamicid_jax.cli.console import seed_number

EXAMPLES = """\
examples:
  dynamicid world --sheet sheets
      people.png, motions.png, scenes.png and landmarks.png in the folder sheets
  dynamicid world --photos photos --people 20
      a folder of 35 photos for each of 20 people, as `dynamicid prepare` reads them
  dynamicid world --variface people --people 20
      the same with face prompts and landmark pictures, in the published layout
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "world",
        help="draw made-up people with exact ground truth",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sheet", metavar="DIR", help="write the sheets of docs/WORLD.md")
    what.add_argument("--photos", metavar="DIR", help="write a folder of photos per person")
    what.add_argument("--variface", metavar="DIR", help="write a dataset in VariFace's layout")
    parser.add_argument(
        "--people", type=seed_number, default=10, metavar="N", help="how many, with folders (10)"
    )
    parser.add_argument("--split", default="demo", help="whose: train, judge, eval or demo (demo)")
    parser.add_argument(
        "--size", type=seed_number, default=256, metavar="PIXELS", help="of photos (256)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes what was asked for and prints where."""
    from pathlib import Path

    from dynamicid_jax.cli.console import use_compilation_cache
    from dynamicid_jax.errors import OutputError

    folder = Path(args.sheet or args.photos or args.variface)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error
    print("world: compiling the renderer takes a minute the first time", file=sys.stderr)
    use_compilation_cache()
    if args.sheet:
        from dynamicid_jax.cli.world_sheets import write_sheets

        for file in write_sheets(folder):
            print(file)
        return 0
    from dynamicid_jax.world.export import write_photos, write_variface

    write = write_photos if args.photos else write_variface
    files = write(folder, people=args.people, split=args.split, size=args.size)
    print(f"{folder}: {len(files)} pictures, people: {args.people}")
    return 0
