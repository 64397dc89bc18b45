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
  dynamicid world --measure PACK --people 200 --size 128
      how well a face pack and its judges do on made-up people whom nobody trained on
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
    what.add_argument("--measure", metavar="PACK", help="measure a face pack and its judges")
    parser.add_argument(
        "--people", type=seed_number, metavar="N", help="how many (10; with --measure 200)"
    )
    parser.add_argument(
        "--split", help="whose: train, judge, eval or demo (demo; with --measure eval)"
    )
    parser.add_argument(
        "--size", type=seed_number, metavar="PIXELS", help="of photos (256; with --measure 128)"
    )
    parser.add_argument(
        "--scenes", type=seed_number, default=300, metavar="N", help="for the detector (300)"
    )
    parser.add_argument(
        "--seed", type=seed_number, default=0, metavar="N", help="which people to measure on (0)"
    )
    parser.add_argument("--face_pack", metavar="PACK", help="adds detections.png to the sheets")
    parser.add_argument("--json", metavar="FILE", help="write the measurements there, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes or measures what was asked for.

    Raises:
        OutputError: the folder cannot be made.
    """
    from dynamicid_jax.cli.console import use_compilation_cache

    print("world: compiling the renderer takes a minute the first time", file=sys.stderr)
    use_compilation_cache()
    return _measure(args) if args.measure else _write(args)


def _write(args: argparse.Namespace) -> int:
    from pathlib import Path

    from dynamicid_jax.errors import OutputError

    folder = Path(args.sheet or args.photos or args.variface)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error
    if args.sheet:
        from dynamicid_jax.cli.world_sheets import write_sheets

        for file in write_sheets(folder, args.face_pack):
            print(file)
        return 0
    from dynamicid_jax.world.export import write_photos, write_variface

    write = write_photos if args.photos else write_variface
    people = 10 if args.people is None else args.people
    files = write(folder, people=people, split=args.split or "demo", size=args.size or 256)
    print(f"{folder}: {len(files)} pictures, people: {people}")
    return 0


def _measure(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from dynamicid_jax.evaluation.face_pack import measure_pack, open_pack

    report = measure_pack(
        open_pack(Path(args.measure)),
        people=args.people or 200,
        scenes=args.scenes,
        size=args.size or 128,
        seed=args.seed,
        split=args.split or "eval",
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print("| what (how many) | measured | 95 % interval |\n|---|---|---|")
    for row in report.rows():
        print("| {} | {} | {} |".format(*row))
    if args.json:
        Path(args.json).write_text(json.dumps(report.to_json(), indent=2) + "\n", "utf-8")
    return 0
