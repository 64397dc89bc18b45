"""The options of `dynamicid sample`, in the groups that --help shows."""

import argparse
from collections.abc import Callable
from typing import Any


def add_to(parser: argparse.ArgumentParser) -> None:
    """Adds all options."""
    add_model_options(parser)
    _people_options(parser)
    _picture_options(parser)
    _output_options(parser)


class _NewPerson(argparse.Action):
    """--person PHOTO [PHOTO ...] starts a person."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        namespace.people = [*(namespace.people or []), {"photos": values}]


class _OfPerson(argparse.Action):
    """An option of the person before it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        if not namespace.people:
            parser.error(f"{option} belongs to a person; give it after the --person it is for")
        if self.dest in namespace.people[-1]:
            parser.error(f"{option} is given twice for the same --person")
        namespace.people[-1][self.dest] = values


def parted_numbers(form: str) -> Callable[[str], tuple[float, ...]]:
    """A reader of numbers parted by commas, such as x0,y0,x1,y1."""

    def read(text: str) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {form}, got {text!r}") from None

    return read


def _box(text: str) -> tuple[float, ...] | str:
    automatic = text.partition(":")[0] == "auto"
    return text if automatic else parted_numbers("x0,y0,x1,y1 or auto")(text)


def _lora(text: str) -> tuple[str, float]:
    """`FILE` or `FILE=SCALE`."""
    file, _, scale = text.rpartition("=")
    try:
        return (file, float(scale)) if file else (text, 1.0)
    except ValueError:
        return text, 1.0  # a name with a "=" in it


def size(text: str) -> tuple[int, int]:
    """`512` or `768x512` (width x height) as (height, width)."""
    try:
        numbers = [int(part) for part in text.lower().split("x")]
        width, height = numbers * 2 if len(numbers) == 1 else numbers
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected N or WIDTHxHEIGHT in pixels, got {text!r}"
        ) from None
    return height, width


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which weights; shared by every command that makes pictures."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        required=True,
        help='model folder, the published layout (a diffusers folder), or "mini", the packaged model of made-up people',
    )
    model.add_argument(
        "--face_pack",
        help="folder or name of an insightface pack; needed for photos; default: the model folder's own, if any",
    )
    for part, default in (
        ("adapter", "an adapter folder (dynamicid export --adapter_only), or SAA.bin"),
        ("imr", "IMR.bin"),
        ("keypoint_encoder", "key_point_encoder.bin"),
    ):
        model.add_argument(f"--{part}", help=f"{default}, where it is not in the model folder")
    model.add_argument(
        "--image_encoder", help="CLIP vision folder, where it is not in the model folder"
    )
    model.add_argument(
        "--lora",
        action="append",
        type=_lora,
        metavar="FILE[=SCALE]",
        help="a LoRA for the base, in kohya's or diffusers' names (LCM, Hyper-SD, a style); repeat for more",
    )
    model.add_argument(
        "--dtype", help="float32, bfloat16 or float16; default: float32 on a CPU, else bfloat16"
    )


def _people_options(parser: argparse.ArgumentParser) -> None:
    """Who is in it."""
    people = parser.add_argument_group("people (repeat for each person)")
    people.add_argument(
        "--person",
        dest="people",
        action=_NewPerson,
        nargs="+",
        metavar="PHOTO",
        help="photo(s) of one person, or a person file (NAME.person)",
    )
    people.add_argument(
        "--face",
        action=_OfPerson,
        metavar="WORDS",
        help='such as "happy, side view"; {face} in the prompt becomes these words',
    )
    people.add_argument(
        "--pose", action=_OfPerson, metavar="PHOTO", help="photo whose expression and pose to take"
    )
    people.add_argument(
        "--box",
        action=_OfPerson,
        type=_box,
        metavar="X0,Y0,X1,Y1",
        help='where, in [0, 1]; "auto": found, from left to right; "auto:WORDS": where the prompt puts those words',
    )
    people.add_argument(
        "--strength",
        action=_OfPerson,
        type=float,
        metavar="X",
        help="of this person's face (1.0), beside --identity_scale",
    )
    people.add_argument(
        "--which", action=_OfPerson, type=int, metavar="N", help="Nth face from the left (from 0)"
    )
    people.add_argument(
        "--source_face", action=_OfPerson, metavar="WORDS", help="what the photo shows, if you know"
    )
    people.add_argument(
        "--consent",
        action=_OfPerson,
        metavar="TEXT|FILE",
        help="what this person has agreed to; recorded in the picture's metadata",
    )


def _picture_options(parser: argparse.ArgumentParser) -> None:
    """What it shows and how it is made."""
    picture = parser.add_argument_group("picture")
    picture.add_argument("--prompt", help="what the picture shows")
    picture.add_argument("--negative_prompt", help="what it should not show")
    picture.add_argument(
        "--size",
        type=size,
        help="N or WIDTHxHEIGHT, multiples of 64 (mini: 16); default: the model's own",
    )
    picture.add_argument(
        "--steps",
        type=int,
        help="sampling steps; default: the model's own, or another sampler's usual number",
    )
    picture.add_argument(
        "--sampler", help="ddim, dpmpp_2m, euler, lcm or tcd; default: the model's own"
    )
    picture.add_argument(
        "--guidance", type=float, help="guidance scale (the model's own); 1 switches guidance off"
    )
    picture.add_argument(
        "--guidance_interval",
        type=parted_numbers("FROM,TO"),
        metavar="FROM,TO",
        help="fractions of the steps between which guidance acts; a step outside costs half (0,1)",
    )
    picture.add_argument("--seed", type=int, help="0")
    picture.add_argument(
        "--num_images", type=int, help="1; more are written as NAME-0.png, NAME-1.png, ..."
    )
    picture.add_argument("--identity_scale", type=float, help="strength of the faces (1.0)")
    picture.add_argument(
        "--layout_strength", type=float, help="push into the boxes in early steps (2.0)"
    )
    picture.add_argument(
        "--layout_steps", type=int, help="how many early steps; default: 24 %% of the steps"
    )
    picture.add_argument(
        "--vae_tile",
        type=int,
        metavar="PIXELS",
        help="decode by tiles of this size, for pictures too large for the memory; colours may differ a little",
    )
    picture.add_argument(
        "--no_gate",
        dest="gate",
        action="store_const",
        const=False,
        help="switch gate and boxes off (ablation)",
    )
    picture.add_argument(
        "--like", metavar="PNG", help="take everything not given here from that picture's recipe"
    )


def _output_options(parser: argparse.ArgumentParser) -> None:
    """What is written."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", required=True, metavar="PNG", help="the picture; carries its recipe as metadata"
    )
    output.add_argument(
        "--gate_maps", metavar="PNG", help="a sheet of where every layer lets the faces act"
    )
    output.add_argument(
        "--no_provenance",
        "--no-provenance",
        dest="provenance",
        action="store_false",
        help="bare pixels: no statement that the picture was generated, no recipe, no signature",
    )
    output.add_argument("--json", metavar="FILE", help="recipe, photo quality and timings")
