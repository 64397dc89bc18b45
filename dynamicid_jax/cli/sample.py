"""`dynamicid sample` (= sample.py): pictures of people from reference photographs and a prompt."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamicid_jax.cli import sample_options

EXAMPLES = """\
examples:
  one person, the face anywhere in the picture:
    python sample.py --model MODEL --face_pack PACK --person a.png --prompt "a woman in a garden" --out out.png
  two people at their places, one with another expression and pose:
    python sample.py --model MODEL --face_pack PACK \\
        --person a.png --face "happy, side view" --box 0.05,0.1,0.45,0.6 \\
        --person b1.png b2.png --box 0.5,0.1,0.95,0.6 --prompt "two friends at the sea" --out out.png
  somebody from a reusable person file (`dynamicid person --help`), with what she agreed to:
    python sample.py --model MODEL --person alice.person --prompt "a woman in a garden" --out out.png
  few steps, with a LoRA made for them:
    python sample.py --model MODEL --face_pack PACK --lora lcm.safetensors --sampler lcm --steps 6 \\
        --guidance 1.5 --person a.png --prompt "a woman in a garden" --out out.png
  the same without drawing boxes: faces are looked for in a short pass of the same prompt and seed first
    python sample.py --model MODEL --face_pack PACK --person a.png --box auto --person b1.png b2.png --box auto \\
        --prompt "two friends at the sea" --out out.png
  the same picture again (the references are given again and checked):
    python sample.py --model MODEL --face_pack PACK --like out.png --person a.png --person b1.png b2.png --out again.png

--face, --pose, --box, --strength, --which and --consent belong to the --person before them.
{face} in the prompt becomes the words of the next person's --face ("two friends at the sea, {face}").
boxes are x0,y0,x1,y1 in fractions of width and height, from the upper left corner.
every picture says in its metadata that it was generated, by what, and from how many photos (docs/SECURITY.md).
"""

RECIPE_OPTIONS = {  # option: its key in a recipe
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "height": "height",
    "width": "width",
    "steps": "steps",
    "sampler": "sampler",
    "guidance": "guidance_scale",
    "guidance_interval": "guidance_interval",
    "seed": "seed",
    "num_images": "num_images",
    "gate": "gate",
    "identity_scale": "identity_scale",
    "layout_strength": "layout_strength",
    "layout_steps": "layout_steps",
    "vae_tile": "vae_tile",
}
DEFAULTS = {"negative_prompt": "", "seed": 0, "num_images": 1, "gate": True}
DEFAULTS |= {"identity_scale": 1.0, "layout_strength": 2.0, "guidance_interval": (0.0, 1.0)}


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "sample",
        help="make pictures of people from reference photographs",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sample_options.add_to(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Checks everything cheap first, then loads, samples and writes."""
    from dynamicid_jax.files import check_output, save_json
    from dynamicid_jax.inference.recipe import check_png, of_sheet, save_picture

    recipe = _fill_from_recipe(args)
    for path in filter(None, [args.out, args.gate_maps]):
        check_png(path)
    _check_request(args)
    paths = output_paths(args.out, args.num_images)
    written = [str(path) for path in [*paths, args.gate_maps, args.json] if path]
    for path in written:
        check_output(path)
    _check_apart(args, written)

    from dynamicid_jax.cli.console import one_line_warnings, steps_bar, use_compilation_cache
    from dynamicid_jax.inference.gate_maps import sheet as gate_sheet

    with one_line_warnings():
        use_compilation_cache()
        pipe = load_pipeline(args)
        people = [_person(pipe, given) for given in args.people or []]
        if recipe is not None:
            _check_references(recipe, people, args.like)
            _note_differences(recipe, pipe)
        with steps_bar() as progress:
            out = pipe(args.prompt, people, progress=progress, **_call_options(args))
        said = out.metadata["recipe"]
        for index, (path, image) in enumerate(zip(paths, out.images, strict=True)):
            save_picture(image, path, {**said, "index": index}, provenance=args.provenance)
        if args.gate_maps:
            sheet = gate_sheet(out.images, out.gate_maps)
            save_picture(sheet, args.gate_maps, of_sheet(said), provenance=args.provenance)
        if args.json:
            save_json(out.metadata, args.json)
    _report(out, paths)
    return 0


def _check_request(args: argparse.Namespace) -> None:
    """What can be refused before a model is loaded: numbers, the sampler, boxes, missing photos or consent."""
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.images import check_file, shown
    from dynamicid_jax.inference.layout import check_place
    from dynamicid_jax.inference.request import Request, check_number
    from dynamicid_jax.provenance.consent import check_consent, read_consent
    from dynamicid_jax.provenance.operator import Operator
    from dynamicid_jax.provenance.png import check_bare
    from dynamicid_jax.provenance.signing import check_signing

    operator = Operator.from_environment()
    if not args.provenance:
        check_bare(operator)
    check_signing(operator.signing)
    Request.resolve(_config(args.model), prompt=args.prompt, **_call_options(args))
    if args.gate_maps and (not args.people or args.gate is False):
        raise InputError("--gate_maps: there are none without people or with --no_gate")
    for person in args.people or []:
        if "box" in person:
            check_place(person["box"], "--box")
        if "strength" in person:
            check_number(person["strength"], "strength")
        if "consent" in person:
            read_consent(person["consent"])
    for photo in _photos(args):
        check_file(photo, shown(photo))
    for file, _ in args.lora or []:
        if not Path(file).expanduser().is_file():
            raise InputError(f"--lora {file}: no such file")
    check_consent([_consent(person) for person in args.people or []], operator)


def _consent(person: dict[str, Any]) -> dict[str, Any]:
    """Whose consent is known before the person is made: given here, or in the person file."""
    from dynamicid_jax.inference.person_file import check_person, is_person_file

    file = next(filter(is_person_file, person["photos"]), None)
    return person if file is None else {"consent": check_person(file)}


def _config(path: str) -> Any:
    """What a model's request is checked against: a model folder's own config, else SD1.5's."""
    from dynamicid_jax.convert import model_folder
    from dynamicid_jax.models.configs import ModelConfig
    from dynamicid_jax.packaged import model_path

    folder = model_path(path)
    own = model_folder.is_model_folder(folder)
    return model_folder.read_config(folder) if own else ModelConfig()


def _photos(args: argparse.Namespace) -> list[str]:
    """Every photo of the command line, pose photos among them."""
    people = args.people or []
    poses = [person["pose"] for person in people if "pose" in person]
    return [photo for person in people for photo in person["photos"]] + poses


def _check_apart(args: argparse.Namespace, written: Sequence[str]) -> None:
    """Nothing is written over a photo, nor twice to one file."""
    from dynamicid_jax.errors import InputError

    taken = {Path(photo).resolve() for photo in _photos(args)}
    for name in written:
        if Path(name).resolve() in taken:
            raise InputError(
                f"{name}: is a photo or another output of this command; choose another name"
            )
        taken.add(Path(name).resolve())


def output_paths(out: str, count: int) -> list[Path]:
    """One path, or NAME-0.png, NAME-1.png, ... for several pictures."""
    path = Path(out)
    if count <= 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index}{path.suffix}") for index in range(count)]


def _fill_from_recipe(args: argparse.Namespace) -> dict[str, Any] | None:
    """Options left out come from --like's recipe, then from the defaults."""
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.inference.recipe import read_recipe

    args.height, args.width = args.size or (None, None)
    recipe = read_recipe(args.like) if args.like else None
    if recipe is not None:
        args.dtype = args.dtype or recipe.get("dtype")
    # Another sampler or number of steps brings its own steps and layout steps.
    changed = {"sampler": {"steps", "layout_steps"}, "steps": {"layout_steps"}}
    own = {name for given, names in changed.items() if getattr(args, given) for name in names}
    for option, key in RECIPE_OPTIONS.items():
        if getattr(args, option) is None and recipe is not None and option not in own:
            setattr(args, option, recipe.get(key))
        if getattr(args, option) is None:
            setattr(args, option, DEFAULTS.get(option))
    if args.prompt is None:
        raise InputError(
            "--prompt: expected what the picture shows, or --like PNG to take it from a picture"
        )
    if recipe is not None:
        _fill_people(args, recipe)
    return recipe


def _fill_people(args: argparse.Namespace, recipe: dict[str, Any]) -> None:
    from dynamicid_jax.errors import InputError

    recorded, given = recipe["people"], args.people or []
    if recipe.get("latents") == "given" or any("references" not in one for one in recorded):
        raise InputError(
            f"--like {args.like}: made from Python with given latents, face tokens or a mix; make it there again"
        )
    if len(recorded) != len(given):
        raise InputError(
            f"--like {args.like}: that picture shows {len(recorded)} people, {len(given)} are given; "
            "give --person for each"
        )
    for person, known in zip(given, recorded, strict=True):
        for option in ("face", "box", "source_face", "which", "strength", *_consent_option(person)):
            if known.get(option) is not None:
                person.setdefault(option, known[option])
        if known.get("pose") and "pose" not in person:
            raise InputError(
                f"--like {args.like}: that picture used a pose photo; give it again with --pose"
            )


def _consent_option(person: dict[str, Any]) -> tuple[str, ...]:
    """The consent of a picture's recipe counts again, except beside a person file, which has its own."""
    from dynamicid_jax.inference.person_file import is_person_file

    return () if any(map(is_person_file, person["photos"])) else ("consent",)


def _check_references(recipe: dict[str, Any], people: Sequence[Any], like: str) -> None:
    """The photos must be the ones that made the picture, byte for byte."""
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.provenance.statement import salt_person

    salt = recipe.get("provenance", {}).get("salt")
    for index, (known, person) in enumerate(zip(recipe["people"], people, strict=True)):
        given = salt_person(person.recipe, salt)
        for key in ("references", "pose"):
            if known.get(key) is not None and known[key] != given.get(key):
                raise InputError(
                    f"--like {like}: person {index + 1}'s {key} differ from the ones that made it (SHA-256); "
                    "give the same files"
                )


def _note_differences(recipe: dict[str, Any], pipe: Any) -> None:
    """Another model or other versions may give another picture: that is said, and allowed."""
    from dynamicid_jax.inference.recipe import versions

    model = recipe.get("model", {})
    if model.get("fingerprint") != pipe.fingerprint or model.get("loras", []) != pipe.loras:
        print("note: --like: that picture was made by another model", file=sys.stderr)
    if recipe.get("versions") != versions():
        print("note: --like: that picture was made with other versions", file=sys.stderr)


def load_pipeline(args: argparse.Namespace) -> Any:
    """The pipeline that the model's options ask for."""
    from dynamicid_jax import DynamicIDPipeline

    names = ("dtype", "face_pack", "image_encoder", "adapter", "imr", "keypoint_encoder")
    pipe = DynamicIDPipeline.from_pretrained(
        args.model, lora=args.lora, **{name: getattr(args, name) for name in names}
    )
    if pipe.config.weights == "random":
        print("note: this model's weights are random; the picture will be noise", file=sys.stderr)
    return pipe


def _person(pipe: Any, given: dict[str, Any]) -> Any:
    options = {name: value for name, value in given.items() if name != "photos"}
    person = pipe.person(given["photos"], **options)
    for verdict in person.quality:
        for line in verdict.lines():
            print(f"note: {line}", file=sys.stderr)
    return person


def _call_options(args: argparse.Namespace) -> dict[str, Any]:
    return {
        key: getattr(args, option) for option, key in RECIPE_OPTIONS.items() if option != "prompt"
    }


def _report(out: Any, paths: Sequence[Path]) -> None:
    if layout := out.metadata.get("layout"):
        how = f"boxes: {layout['how']}, seed {layout['seed']}"
        print(
            f"{how}; short looks: {layout['looks']}, their steps: {layout['steps']}",
            file=sys.stderr,
        )
    seconds = out.metadata["seconds"]
    print(
        f"compiled in {seconds['compile']:.1f} s, sampled in {seconds['sample']:.1f} s "
        f"({seconds['steps_per_second']:.2f} steps/s), decoded in {seconds['decode']:.1f} s",
        file=sys.stderr,
    )
    for path in paths:
        print(path)
