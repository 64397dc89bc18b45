"""`dynamicid export`: a trained model in a form that others read; every file is compared with JAX first."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

EXAMPLES = """\
examples:
  dynamicid export --model RUN/judge_motion/model --to face_pack --out PACK
      trained face networks as ONNX files: PACK loads in insightface.app.FaceAnalysis and with --face_pack,
      PACK/judges are for measuring (dynamicid world --measure PACK)
"""
FORMATS = ("face_pack",)


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "export",
        help="write a trained model in a form that others read",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, metavar="FOLDER", help="WORKDIR/model of a run")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the form")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made if need be")
    parser.add_argument("--json", metavar="FILE", help="write sizes and differences there, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints each.

    Raises:
        MissingPartError, WeightsError, ExportError, OutputError: as one line.
    """
    from dynamicid_jax.export.face_pack import export_face_pack

    def say(text: str) -> None:
        print(text, flush=True)

    report = export_face_pack(Path(args.model), Path(args.out), say)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    total = sum(part["bytes"] for part in report.values())
    print(f"{args.out}: {len(report)} networks, {total / 2**20:.1f} MiB", file=sys.stderr)
    return 0
