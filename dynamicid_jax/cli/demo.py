"""`dynamicid demo`: made-up people, each from one photo, with nothing to download.

Draws two or three of the package's people in one scene, each with a face of their own choice, and one person in 7
expressions and 5 poses, by the packaged mini model and the same code that runs SD1.5. A version without the mini model
takes random weights, made on the spot: its pictures are noise and show that everything runs.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from dynamicid_jax.cli.console import seed_number

EXAMPLES = """\
examples:
  dynamicid demo
      demo.png, and beside it demo-overview.png, demo-gate_maps.png and demo-grid.png
  dynamicid demo --people 3 --seed 7 --out trio.png
  dynamicid demo --model RUN/model --face_pack PACK
      the same by a model of your own
"""
PEOPLE = (1, 2, 3)


class Paths(NamedTuple):
    """What the demo writes."""

    picture: Path
    gate_maps: Path
    overview: Path
    grid: Path

    @classmethod
    def beside(cls, picture: Path) -> "Paths":
        """NAME.png, NAME-gate_maps.png, ..."""
        names = (f"{picture.stem}-{name}.png" for name in ("gate_maps", "overview", "grid"))
        return cls(picture, *(picture.with_name(name) for name in names))


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "demo",
        help="draw made-up people with the packaged mini model; needs no files",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", default="demo.png", metavar="PNG", help="demo.png; sheets go beside it"
    )
    parser.add_argument(
        "--people", type=int, choices=PEOPLE, default=2, help="in the scene (2): 1, 2 or 3"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the pictures (0)")
    parser.add_argument("--model", help='any model instead of the packaged one, "mini"')
    parser.add_argument("--face_pack", help="instead of the model's own")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draws the scene and the grid, writes the sheets, prints their paths."""
    from dynamicid_jax.cli.console import one_line_warnings, use_compilation_cache
    from dynamicid_jax.files import check_output
    from dynamicid_jax.inference.recipe import check_png

    paths = Paths.beside(Path(args.out))
    check_png(paths.picture)
    for path in paths:
        check_output(path)
    with one_line_warnings():
        use_compilation_cache()
        pipe = _load(args)
        begin = time.perf_counter()
        made = [*_scene(pipe, args, paths), *_grid(pipe, args, paths)]
        _report([out.metadata["seconds"] for out in made], time.perf_counter() - begin)
    print(paths.picture)
    return 0


def _load(args: argparse.Namespace) -> Any:
    """The model asked for, else the packaged one, else random weights."""
    import tempfile

    from dynamicid_jax import DynamicIDPipeline
    from dynamicid_jax.inference.random_model import write_random_model
    from dynamicid_jax.packaged import MINI, mini_folder

    begin = time.perf_counter()
    if args.model or mini_folder():
        pipe = DynamicIDPipeline.from_pretrained(args.model or MINI, face_pack=args.face_pack)
    else:
        _say("demo: this version comes without the mini model; a random one is made on the spot")
        with tempfile.TemporaryDirectory() as scratch:
            folder = write_random_model(f"{scratch}/model", "mini", seed=args.seed)
            pipe = DynamicIDPipeline.from_pretrained(folder, face_pack=args.face_pack)
    if pipe.config.weights == "random":
        _say("demo: this model's weights are RANDOM; its pictures are noise")
    _say(f"demo: loaded in {time.perf_counter() - begin:.1f} s; programs compile on first use")
    return pipe


def _scene(pipe: Any, args: argparse.Namespace, paths: Paths) -> list[Any]:
    from dynamicid_jax.cli import demo_scene
    from dynamicid_jax.cli.console import steps_bar
    from dynamicid_jax.cli.demo_sheets import overview
    from dynamicid_jax.inference.gate_maps import sheet
    from dynamicid_jax.inference.recipe import of_sheet, save_picture

    drawing = demo_scene.scene(pipe, args.people, args.seed)
    with steps_bar() as progress:
        out = pipe(drawing.prompt, drawing.people, seed=drawing.seed, progress=progress)
    recipe = out.metadata["recipe"]
    save_picture(out.images[0], paths.picture, recipe)
    print(save_picture(sheet(out.images, out.gate_maps), paths.gate_maps, of_sheet(recipe)))
    if pipe.face_pack is not None:
        shown = overview(demo_scene.ROLES[: args.people], out)
        print(save_picture(shown, paths.overview, of_sheet(recipe)))
    return [out]


def _grid(pipe: Any, args: argparse.Namespace, paths: Paths) -> list[Any]:
    from dynamicid_jax.cli import demo_scene
    from dynamicid_jax.cli.console import pictures_bar
    from dynamicid_jax.cli.demo_sheets import demo_grid
    from dynamicid_jax.inference.recipe import of_sheet, save_picture

    if pipe.face_pack is None:
        _say("demo: no face pack, so no photos are read and no expressions are edited")
        return []
    drawings = demo_scene.grid(pipe, args.seed)
    _say(f"demo: {demo_scene.GRID_PERSON} in {len(drawings)} expressions and poses")
    with pictures_bar() as progress:
        made = demo_scene.draw(pipe, drawings, progress)
    said = of_sheet(made[0].metadata["recipe"])
    print(save_picture(demo_grid([out.images[0] for out in made]), paths.grid, said))
    return made


def _report(seconds: list[dict[str, float]], total: float) -> None:
    compiled, sampled = (sum(one[name] for one in seconds) for name in ("compile", "sample"))
    rest = total - compiled - sampled
    _say(
        f"demo: {len(seconds)} pictures sampled in {sampled:.1f} s; the sampler compiled in {compiled:.1f} s; "
        f"photos, faces, decoding and their programs {rest:.1f} s"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
