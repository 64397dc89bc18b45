"""A real run as two jobs of ordinary commands (jobs/).

OUT/published/      convert, then the suites on the published checkpoint
    model/          the checkpoint as a model folder
    single/ ...     evaluations
OUT/trained/        both stages on your photographs, then the same suites
    dataset/, features/, <recipe>/, single/ ...
"""

from dataclasses import dataclass
from pathlib import Path

from dynamicid_jax.data.store import INFO
from dynamicid_jax.jobs.job import Command
from dynamicid_jax.jobs.words import options
from dynamicid_jax.reproduction.inputs import Inputs

MODEL, DATASET, FEATURES = "model", "dataset", "features"
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
        if not (dataset / INFO).is_file():
            words = ["--photos", str(dataset), "--out", str(whole / DATASET)]
            words += ["--face_pack", _pack(inputs, base)]
            made.append(Command("prepare", ("dynamicid", "prepare", *words), f"{DATASET}/{INFO}"))
            dataset = whole / DATASET
        words = ["--data", str(dataset), "--model", str(base), "--out", str(whole / FEATURES)]
        words += ["--image_size", str(choice.image_size)]
        made.append(
            Command("precompute", ("dynamicid", "precompute", *words), f"{FEATURES}/{INFO}")
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
    pack = _pack(inputs, published or model)
    return [
        Command(
            name,
            (
                *("dynamicid", "evaluate", "--model", str(model), "--out", str(whole / name)),
                *evaluation_words(inputs, choice, suite, pack),
            ),
            f"{name}/results.json",
        )
        for suite in choice.suites
        for name in (Path(suite).stem,)
    ]


def evaluation_words(inputs: Inputs, choice: Choice, suite: str, pack: str) -> list[str]:
    """Options of a suite's `dynamicid evaluate`, but for model and folder."""
    given = {"photos": inputs.photos, "judges": inputs.judges_folder}
    return ["--suite", suite, "--face_pack", pack, *options(given), *choice.evaluate]


def _source(inputs: Inputs) -> str:
    return inputs.checkpoint if inputs.is_converted else str(inputs.base_folder)


def _pack(inputs: Inputs, model: Path) -> str:
    """The pack given, or the one in a model folder, which a model trained from it does not carry on."""
    return inputs.face_pack or str(model / "face_pack")
