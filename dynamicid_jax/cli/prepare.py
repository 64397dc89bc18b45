"""`dynamicid prepare`: a dataset to train on, out of folders of photographs.

Put each person's photographs into a folder of its own. In every photograph the face that belongs to the person is
found, cut out and described; faces that do not belong to the person are left out and reported. docs/DATA.md explains
the rest.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from dynamicid_jax.cli.console import seed_number

EXAMPLES = """\
examples:
  dynamicid prepare --photos photos --out data/friends --face_pack PACK
      photos/alice/1.jpg, photos/alice/2.jpg, photos/bob/1.jpg, ...; one person in ten is held out
  dynamicid prepare --photos photos --out data/friends --face_pack PACK --split_by picture --heldout 2
      everybody trains, and two pictures of each person are held out
  dynamicid prepare ... --expression_judge emotion.onnx --licence "CC BY 4.0" --consent "forms in the archive"
      expressions from a network; terms of use, carried into every record
  dynamicid prepare --photos pictures.json --out data/captioned --face_pack PACK
      stage 1 on captioned pictures: [{"picture": "a.jpg", "caption": "a woman in a garden"}, ...]
  dynamicid prepare --photos VariFace-10k --out data/variface --face_pack PACK --processes 16
      the published layout: <person>/<k>.png, <k>.txt, <k>_landmark.png

beside a photo, <photo>.txt may hold a caption ("Alice at the lake"), words about the face ("happy, half left"), or
both, the latter on a line of its own: "face: happy, half left". In a person's folder, person.json may hold the
person's licence and consent; {"consent": false} leaves the person out.

the dataset's folder holds report.json (every photo with its agreement or the reason against it) and report.png, pages
of kept and rejected faces: look through them. Stopped in the middle, the same command goes on where it was; until it is
done, what was found lies in a hidden folder beside the dataset, which is deleted at the end.
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "prepare",
        help="make a training dataset out of folders of photographs",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--photos",
        required=True,
        metavar="DIR",
        help="photographs, or a JSON list of captioned pictures",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DATASET",
        help="folder to write; gs:// and other schemes too",
    )
    parser.add_argument(
        "--face_pack",
        metavar="PACK",
        help="folder or name of an insightface pack; only captions do without",
    )
    parser.add_argument(
        "--layout",
        choices=("auto", "photos", "studio", "variface", "captions"),
        default="auto",
        help="how the photographs lie; auto looks at their names",
    )
    _picture_options(parser.add_argument_group("pictures"))
    _people_options(parser.add_argument_group("people"))
    _split_options(parser.add_argument_group("splits"))
    _work_options(parser.add_argument_group("work"))
    parser.set_defaults(run=run)


def _picture_options(group: Any) -> None:
    """What is stored of a photograph."""
    group.add_argument(
        "--crop_factor",
        type=float,
        default=2.0,
        metavar="F",
        help="side of the crop in face boxes (2.0)",
    )
    group.add_argument(
        "--inside",
        action="store_true",
        help="move and shrink crops into the photo; otherwise its edge pixels are repeated beyond it",
    )
    group.add_argument(
        "--max_side",
        type=int,
        default=1024,
        metavar="N",
        help="larger pictures are scaled down (1024)",
    )
    group.add_argument(
        "--picture_format",
        choices=("auto", "png", "jpeg"),
        default="auto",
        help="png loses nothing; auto: png up to 256 pixels a side, jpeg above",
    )
    group.add_argument("--quality", type=int, default=95, metavar="Q", help="of jpeg (95)")
    group.add_argument(
        "--landmarks",
        type=int,
        metavar="N",
        help="points of the landmark rasters: 5, 68 or 106; default: the most that the pack gives",
    )
    group.add_argument(
        "--expression_judge",
        metavar="ONNX",
        help="network that names expressions: float32 [N, 1, 64, 64], grey in [-1, 1] -> [N, 7]",
    )
    group.add_argument(
        "--id_channels",
        choices=("bgr", "rgb"),
        default="bgr",
        help="channel order for the recogniser; rgb only to go with published checkpoints",
    )


def _people_options(group: Any) -> None:
    """Who belongs where, and under which terms."""
    group.add_argument(
        "--outliers",
        choices=("reject", "keep"),
        default="reject",
        help="what happens to faces that do not agree with their person; both are reported",
    )
    group.add_argument(
        "--agreement",
        type=float,
        metavar="COS",
        help="cosine below which a face does not agree; default: measured on the photographs",
    )
    group.add_argument("--licence", default="", help="where a person.json names none")
    group.add_argument("--consent", default="", help="likewise")


def _split_options(group: Any) -> None:
    """Training and validation."""
    group.add_argument(
        "--split_by",
        choices=("person", "picture"),
        default="person",
        help="whether people are held out, or pictures of everybody",
    )
    group.add_argument(
        "--validation",
        type=float,
        metavar="V",
        help="share (below 1) or number of people, or of pictures per person, held out (0.1); 0: none",
    )
    group.add_argument(
        "--heldout",
        type=int,
        metavar="N",
        help="the same as a number of pictures, with --split_by picture",
    )
    group.add_argument("--seed", type=seed_number, default=0, help="of the split (0)")


def _work_options(group: Any) -> None:
    """How it runs."""
    group.add_argument(
        "--processes",
        type=int,
        default=0,
        metavar="N",
        help="that look at photographs; default: one per CPU",
    )
    group.add_argument(
        "--work",
        metavar="DIR",
        help="where finished photographs are kept until the end; default: beside DATASET",
    )
    group.add_argument(
        "--keep_work",
        action="store_true",
        help="keep them after the end: adding photographs is then quick",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace a dataset that is already there"
    )
    group.add_argument(
        "--sheet_pages",
        type=int,
        default=8,
        metavar="N",
        help="most pages of pictures in the report (8)",
    )


def run(args: argparse.Namespace) -> int:
    """Prepares, and prints what came of it."""
    from dynamicid_jax.data.prepare.report import REPORT, summary
    from dynamicid_jax.data.prepare.run import prepare
    from dynamicid_jax.data.prepare.settings import Settings

    values = {one.name: getattr(args, one.name) for one in fields(Settings)}
    values["validation"] = _validation(args)
    with _bars() as (progress, told):
        try:
            prepared = prepare(Settings(**values), progress)
        except KeyboardInterrupt:
            if told:
                print(
                    f"{told[0]} of {told[1]} photos are finished; the same command goes on",
                    file=sys.stderr,
                )
            raise
    report = prepared.report
    for line in summary(report):
        print(line)
    for line in report["warnings"]:
        print(f"warning: {line}", file=sys.stderr)
    pages = [name for name in prepared.files if name != REPORT]
    shown = f"{pages[0]} to {pages[-1]}" if len(pages) > 1 else "".join(pages)
    note = "already there, nothing to do" if prepared.again else f"{report['seconds']:.0f} s"
    print(f"{args.out}: {note}; see {' and '.join(part for part in (REPORT, shown) if part)} in it")
    return 0


def _validation(args: argparse.Namespace) -> float:
    """--validation and --heldout as one number."""
    from dynamicid_jax.errors import InputError

    if args.heldout is None:
        return 0.1 if args.validation is None else args.validation
    if args.split_by != "picture":
        raise InputError(
            "--heldout counts pictures of each person: add --split_by picture, or use --validation for people"
        )
    if args.validation is not None:
        raise InputError("--heldout and --validation say the same; give one of them")
    if args.heldout < 0:
        raise InputError(f"--heldout {args.heldout}: expected a number of pictures, 0 or more")
    return float(args.heldout)


@contextlib.contextmanager
def _bars() -> Iterator[tuple[Callable[[str, int, int], None], list[int]]]:
    """A progress bar on stderr, none where that is no terminal; and how many photos are finished."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = [
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    told: list[int] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what == "photos":
                told[:] = [done, total]
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield progress, told
