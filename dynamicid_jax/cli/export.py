"""`dynamicid export`: a trained model in a form that others read; every file is compared with JAX first."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLES = """\
examples:
  dynamicid export --model RUN/judge_motion/model --to face_pack --out PACK
      trained face networks as ONNX files: PACK loads in insightface.app.FaceAnalysis and with --face_pack,
      PACK/judges are for measuring (dynamicid world --measure PACK)
  dynamicid export --model mini --to clip --out PACK/judges
      image and text encoder of one space as ONNX files, for CLIP-T (dynamicid evaluate)
  dynamicid export --model RUN/model --to model --dtype int8 --face_pack PACK --out SMALL
      a model folder in a quarter of the bytes, with a face pack in it; says how far each network's outputs move
"""
DTYPES = ("float32", "bfloat16", "float16", "int8")
MODEL_ONLY = ("dtype", "face_pack", "overwrite")


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
    parser.add_argument("--to", required=True, choices=tuple(FORMATS), help="the form")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made if need be")
    parser.add_argument("--dtype", choices=DTYPES, help="of --to model's weights (bfloat16)")
    parser.add_argument(
        "--face_pack", metavar="FOLDER", help="to copy into --to model; default: the model's own"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model folder at --out")
    parser.add_argument("--json", metavar="FILE", help="write sizes and differences there, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints each.

    Raises:
        InputError, MissingPartError, WeightsError, ExportError, OutputError: as one line.
    """
    report = FORMATS[args.to](args)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    total = sum(part["bytes"] for part in report.values())
    print(f"{args.out}: {len(report)} networks, {total / 2**20:.1f} MiB", file=sys.stderr)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    from dynamicid_jax.errors import InputError

    if given := [name for name in MODEL_ONLY if getattr(args, name)]:
        raise InputError(f"--{given[0]}: belongs to --to model, not to --to {args.to}")


def _face_pack(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.face_pack import export_face_pack

    _check_options(args)
    return export_face_pack(Path(args.model), Path(args.out), _say)


def _clip(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.clip import export_clip

    _check_options(args)
    return export_clip(args.model, Path(args.out), _say)


def _model(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.model import export_model
    from dynamicid_jax.faces.pack_folder import find_pack

    return export_model(
        args.model,
        Path(args.out).expanduser(),
        args.dtype or "bfloat16",
        face_pack=find_pack(args.face_pack) if args.face_pack else None,
        overwrite=args.overwrite,
        say=_say,
    )


FORMATS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "face_pack": _face_pack,
    "clip": _clip,
    "model": _model,
}


def _say(text: str) -> None:
    print(text, flush=True)
