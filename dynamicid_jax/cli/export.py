"""`dynamicid export`: a trained model in a form that others read; every file is compared with its source first."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamicid_jax.cli.sample_options import size

EXAMPLES = """\
examples:
  dynamicid export --model RUN/model --to model --dtype bfloat16 --out SMALL
      our own folder with a model card; --dtype int8 takes a quarter of the bytes; says how far outputs move
  dynamicid export --model RUN/model --to model --adapter_only --out ADAPTER
      what goes on top of a base, for several bases: dynamicid sample --model BASE --adapter ADAPTER ...
  dynamicid export --model RUN/model --to published --out DIR
      SAA.bin, IMR.bin, key_point_encoder.bin for the published PyTorch code, and the same as safetensors
  dynamicid export --model RUN/model --to diffusers --out DIR
      for StableDiffusionPipeline.from_pretrained: LoRA folded into the UNet; DIR/lora holds it by itself
  dynamicid export --model RUN/model --to stablehlo --out DIR
      the sampler and its parts as programs that need JAX alone (CPU, CUDA, TPU), weights, and a loader
  dynamicid export --model RUN/model --to onnx --out DIR
      image encoder, face projection, keypoint encoder, IMR for onnxruntime: people are encoded and edited without JAX
  dynamicid export --model RUN/judge_motion/model --to face_pack --out PACK
      trained face networks: PACK loads in insightface.app.FaceAnalysis and with --face_pack,
      PACK/judges are for measuring (dynamicid world --measure PACK)
  dynamicid export --model mini --to clip --out PACK/judges
      image and text encoder of one space as ONNX files, for CLIP-T (dynamicid evaluate)

DIR/export.json says for every file how far each tensor and each output is from its source (docs/EXPORT.md).
"""
DTYPES = ("float32", "bfloat16", "float16", "int8")


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "export",
        help="write a trained model in a form that others read",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help='WORKDIR/model of a run, any model, or "mini"',
    )
    parser.add_argument("--to", required=True, choices=tuple(FORMATS), help="the form")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="its parent must exist")
    parser.add_argument("--json", metavar="FILE", help="write sizes and differences there, too")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an export wrote at --out"
    )
    group = parser.add_argument_group("of some forms")
    group.add_argument("--dtype", choices=DTYPES, help=_of("dtype", "of the weights"))
    group.add_argument(
        "--size",
        type=size,
        metavar="N or WxH",
        help=_of("size", "of the pictures, in pixels; default: the model's own"),
    )
    group.add_argument("--sampler", help=_of("sampler", "default: the model's own"))
    group.add_argument("--steps", type=int, help=_of("steps", "default: the model's own"))
    group.add_argument(
        "--only",
        nargs="+",
        metavar="PROGRAM",
        help=_of("only", "sampler, text_encoder, ...; default: all"),
    )
    group.add_argument(
        "--adapter_only",
        action="store_true",
        help=_of("adapter_only", "leave out the base: one adapter for several bases"),
    )
    group.add_argument(
        "--face_pack",
        metavar="FOLDER",
        help=_of("face_pack", "to copy into it; default: the model's own"),
    )
    card = parser.add_argument_group("model card (--to model)")
    card.add_argument(
        "--evaluation", metavar="FOLDER", help="of dynamicid evaluate: its numbers go on the card"
    )
    card.add_argument("--licence", metavar="TEXT", help="of the weights")
    card.add_argument("--intended", metavar="TEXT", help="uses that the model is meant for")
    card.add_argument("--excluded", metavar="TEXT", help="uses that it is not meant for")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints each.

    Raises:
        InputError, MissingPartError, WeightsError, ExportError, OutputError: as one line.
    """
    from dynamicid_jax.files import save_json

    form = FORMATS[args.to]
    _check_options(args, form)
    report = form.write(args)
    if args.json:
        save_json(report, args.json)
    total = sum(part["bytes"] for part in report.values())
    print(f"{args.out}: {len(report)} {form.things}, {total / 2**20:.1f} MiB", file=sys.stderr)
    return 0


def _check_options(args: argparse.Namespace, form: "Format") -> None:
    """Refuses options of other forms.

    Raises:
        InputError: one of them is given.
    """
    from dynamicid_jax.errors import InputError

    every = {option for other in FORMATS.values() for option in other.options}
    for option in sorted(every - set(form.options)):
        if getattr(args, option):
            owners = " or ".join(f"--to {name}" for name in _owners(option))
            raise InputError(f"--{option}: belongs to {owners}, not to --to {args.to}")


def _common(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": args.model,
        "out": Path(args.out).expanduser(),
        "overwrite": args.overwrite,
        "say": _say,
    }


def _clip(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.clip import export_clip

    return export_clip(args.model, Path(args.out), _say)


def _model(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.card import Card
    from dynamicid_jax.export.model import export_model
    from dynamicid_jax.faces.pack_folder import find_pack

    words = {name: getattr(args, name) for name in ("licence", "intended", "excluded")}
    evaluation = Path(args.evaluation).expanduser() if args.evaluation else None
    return export_model(
        **_common(args),
        dtype=args.dtype or "bfloat16",
        face_pack=find_pack(args.face_pack) if args.face_pack else None,
        adapter_only=args.adapter_only,
        card=Card(evaluation, **{name: text for name, text in words.items() if text}),
    )


def _published(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.published import export_published

    return export_published(**_common(args), adapter_only=args.adapter_only)


def _diffusers(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.diffusers import export_diffusers

    return export_diffusers(**_common(args))


def _stablehlo(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.stablehlo import export_stablehlo

    given = {name: getattr(args, name) for name in ("size", "sampler", "steps", "only")}
    return export_stablehlo(**_common(args), **given, dtype=args.dtype or "float32")


def _onnx(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.onnx_people import export_onnx

    return export_onnx(**_common(args))


def _face_pack(args: argparse.Namespace) -> dict[str, Any]:
    from dynamicid_jax.export.face_pack import export_face_pack

    return export_face_pack(Path(args.model), Path(args.out), _say)


@dataclass(frozen=True)
class Format:
    """One form of an exported model.

    Attributes:
        write: makes the folder from the command's arguments and returns its report, {part: {"file", "bytes", ...}}.
        options: those that not every form has.
        things: what the report's parts are.
    """

    write: Callable[[argparse.Namespace], dict[str, Any]]
    options: tuple[str, ...] = ()
    things: str = "files"


CARD = ("evaluation", "licence", "intended", "excluded")
FORMATS = {
    "model": Format(_model, ("dtype", "adapter_only", "face_pack", "overwrite", *CARD), "networks"),
    "published": Format(_published, ("adapter_only", "overwrite")),
    "diffusers": Format(_diffusers, ("overwrite",)),
    "stablehlo": Format(_stablehlo, ("dtype", "size", "sampler", "steps", "only", "overwrite")),
    "onnx": Format(_onnx, ("overwrite",)),
    "face_pack": Format(_face_pack, things="networks"),
    "clip": Format(_clip, things="networks"),
}


def _owners(option: str) -> list[str]:
    return [name for name, form in FORMATS.items() if option in form.options]


def _of(option: str, text: str) -> str:
    """Help of an option that only some forms have."""
    return f"--to {', '.join(_owners(option))}: {text}"


def _say(text: str) -> None:
    print(text, flush=True)
