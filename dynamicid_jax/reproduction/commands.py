"""A real run as two jobs of ordinary commands (jobs/).

OUT/published/      convert, then the suites on the published checkpoint
    model/          the checkpoint as a model folder
    single/ ...     evaluations
OUT/trained/        both stages on your photographs, then the same suites
    dataset/, features/, <recipe>/, single/ ...
"""

from dataclasses import dataclass
from pathlib import Path

from dynamicid_jax.jobs.job import Command
from dynamicid_jax.jobs.words import options
from dynamicid_jax.reproduction.check import Inputs

MODEL, DATASET, FEATURES = "model", "dataset", "features"
DATASET_MARK = "dataset.json"  # data/store.py: written last
EDIT = "edit"


@dataclass(frozen=True)
class Choice:
    """How it is run.

    Attributes:
        suites: names, in order, or files whose names are these.
        evaluate: more options of `dynamicid evaluate`.
        recipes: of both stages, in order.
        overrides: "key=value" of the recipes.
        train: photographs of other people, a prepared dataset, or "": what the recipes name themselves.
        image_size: of the recipes' pictures, for `dynamicid precompute`.
    """

    suites: tuple[str, ...]
    evaluate: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    train: str = ""
    image_size: int = 512


def published_commands(inputs: Inputs, choice: Choice, folder: Path) -> list[Command]:
    """Convert, then every suite."""
    model = folder.resolve() / MODEL
    convert = ["dynamicid", "convert", _source(inputs), "--out", str(model)]
    if not inputs.is_converted:
        files = inputs.files()
        convert += options(vars(files))
    convert += ["--overwrite"]  # what an interrupted conversion left
    first = Command("convert", tuple(convert), f"{MODEL}/model.json")
    return [first, *_suites(inputs, choice, folder, model)]


def trained_commands(
    inputs: Inputs, choice: Choice, folder: Path, published: Path
) -> list[Command]:
    """Prepare and precompute where there are photographs, both stages, then every suite.

    Stage 1 starts from the published model with fresh weights of its own (`model.anew`), so that base, image encoder
    and tokenizer are the same as in the comparison.
    """
    whole, base = folder.resolve(), published.resolve() / MODEL
    made, data = [], []
    if choice.train:
        dataset = Path(choice.train).expanduser().resolve()
        if not (dataset / DATASET_MARK).is_file():
            words = ["--photos", str(dataset), "--out", str(whole / DATASET)]
            words += ["--face_pack", _pack(inputs, base)]
            made.append(
                Command("prepare", ("dynamicid", "prepare", *words), f"{DATASET}/{DATASET_MARK}")
            )
            dataset = whole / DATASET
        words = ["--data", str(dataset), "--model", str(base), "--out", str(whole / FEATURES)]
        words += ["--image_size", str(choice.image_size)]
        made.append(
            Command("precompute", ("dynamicid", "precompute", *words), f"{FEATURES}/{DATASET_MARK}")
        )
        data = ["--data", str(whole / FEATURES)]
    recipes = [str(Path(recipe).resolve()) for recipe in choice.recipes]
    keys = (f"base={str(base)!r}", "model.anew=True", *choice.overrides)
    chain = ["dynamicid", "chain", *recipes, "--workdir", str(whole), *data]
    chain += [f"--config.{key}" for key in keys]
    model = f"{Path(recipes[-1]).stem}/{MODEL}"
    made.append(Command("train", tuple(chain), model))
    return [*made, *_suites(inputs, choice, folder, whole / model, base)]


def _suites(
    inputs: Inputs, choice: Choice, folder: Path, model: Path, published: Path | None = None
) -> list[Command]:
    whole = folder.resolve()
    given = {"photos": inputs.photos, "judges": inputs.judges_folder}
    words = ["--face_pack", _pack(inputs, published or model), *options(given)]
    return [
        Command(
            name,
            (
                *("dynamicid", "evaluate", "--model", str(model), "--suite", suite),
                *("--out", str(whole / name), *words, *choice.evaluate),
            ),
            f"{name}/results.json",
        )
        for suite in choice.suites
        for name in (Path(suite).stem,)
    ]


def _source(inputs: Inputs) -> str:
    return inputs.checkpoint if inputs.is_converted else str(inputs.base_folder)


def _pack(inputs: Inputs, model: Path) -> str:
    """The pack given, or the one in a model folder, which a model trained from it does not carry on."""
    return inputs.face_pack or str(model / "face_pack")
