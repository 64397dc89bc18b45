"""`dynamicid faces`: how good photographs are as references, before a picture is made of them."""

import argparse
import sys
from typing import Any

EXAMPLES = """\
examples:
  dynamicid faces alice.jpg bob.png --face_pack PACK
  dynamicid faces photos/*.jpg --face_pack buffalo_l --json faces.json

exit code 0: every photo can be used (perhaps with warnings); 2: at least one cannot.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "faces",
        help="check reference photographs: faces found, size, sharpness, pose",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="picture files")
    parser.add_argument("--face_pack", required=True, help="folder or name of an insightface pack")
    parser.add_argument(
        "--which",
        type=int,
        metavar="N",
        help="Nth face from the left (from 0); default: the largest",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the verdicts to a JSON file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the table; 2 where a photo cannot be used."""
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.faces.pack import FacePack
    from dynamicid_jax.faces.quality import Finding, Verdict
    from dynamicid_jax.faces.reference import examine
    from dynamicid_jax.files import check_output, save_json
    from dynamicid_jax.images import load_rgb, shown

    if args.json:
        check_output(args.json)
    pack = FacePack.load(args.face_pack)
    verdicts = []
    for path in args.photos:
        name = shown(path)
        try:
            verdicts.append(examine(load_rgb(path), pack, which=args.which, name=name))
        except InputError as error:
            text = str(error).removeprefix(f"{name}: ")
            verdicts.append(Verdict(name, findings=(Finding("unreadable", text, hard=True),)))
    _print_table(verdicts)
    if args.json:
        save_json(
            {"face_pack": pack.name, "photos": [one.to_json() for one in verdicts]}, args.json
        )
    bad = sum(not verdict.usable for verdict in verdicts)
    if bad:
        print(f"error: {bad} of {len(verdicts)} photos cannot be used", file=sys.stderr)
    return 2 if bad else 0


def _print_table(verdicts: Any) -> None:
    """One row per photo; below it, in plain words, whatever speaks against one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("photo", "verdict")
    for title in ("faces", "taken", "width", "sharp", "score", "yaw", "pitch"):
        table.add_column(title, justify="right")
    colours = {"good": "green", "usable": "yellow", "not usable": "red"}
    for verdict in verdicts:
        numbers = [""] * 6
        if verdict.record is not None:
            face, pose = verdict.record.detection, verdict.record.pose
            numbers = [str(verdict.taken), f"{face.width:.0f}", f"{verdict.sharpness:.0f}"]
            numbers += [f"{face.score:.2f}", f"{pose.yaw:+.0f}", f"{pose.pitch:+.0f}"]
        word = Text(verdict.word, style=colours[verdict.word])
        photo = verdict.photo if len(verdict.photo) <= 24 else f"…{verdict.photo[-23:]}"
        table.add_row(Text(photo), word, str(verdict.faces), *numbers)
    console = Console()
    console.print(table)
    for line in (line for verdict in verdicts for line in verdict.lines()):
        console.print(Text(line), soft_wrap=True)
