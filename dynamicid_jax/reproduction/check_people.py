"""Whom a run needs: photographed people to evaluate on, and others to train on."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from dynamicid_jax.config import read_recipe
from dynamicid_jax.data.dataset import open_dataset, read_info
from dynamicid_jax.data.prepare.layouts import scan
from dynamicid_jax.data.prepare.scan import Photo
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.store import INFO, is_local
from dynamicid_jax.data.world import is_world
from dynamicid_jax.errors import DynamicIDError, InputError, one_line
from dynamicid_jax.evaluation.casts import photographed
from dynamicid_jax.evaluation.leaks import photo_hash
from dynamicid_jax.evaluation.suite import Suite
from dynamicid_jax.images import load_rgb
from dynamicid_jax.reproduction import sources
from dynamicid_jax.reproduction.findings import Finding, problem_of
from dynamicid_jax.reproduction.inputs import Inputs

USED = 2  # photographs of a person in an evaluation: the reference, and another


def photo_findings(inputs: Inputs, suites: Sequence[Suite]) -> Iterator[Finding]:
    """The people of --photos."""
    if inputs.photos is None:
        return
    people, problem = _people(inputs.photos)
    usable = [photos for photos in people.values() if len(photos) >= USED]
    most = max((one.people for suite in suites for one in suite.pictures.values()), default=1)
    if not problem and len(usable) < most:
        problem = f"{len(usable)} folders with {USED} photographs or more; the suites need {most}"
    if not problem:
        problem = _unreadable(usable)
    yield Finding("photographs", "--photos", inputs.photos, problem, sources.PHOTOS)


def _people(folder: str) -> tuple[Mapping[str, tuple[str, ...]], str]:
    try:
        return photographed(Path(folder).expanduser(), ()).photos, ""
    except DynamicIDError as error:
        return {}, one_line(error)


def _unreadable(people: Sequence[tuple[str, ...]]) -> str:
    """How many of the photographs used cannot be read, and why one cannot."""
    files = [path for photos in people for path in photos[:USED]]
    errors = [said for path in files if (said := problem_of(partial(load_rgb, path)))]
    return f"{len(errors)} of {len(files)} cannot be read: {errors[0]}" if errors else ""


def training_findings(inputs: Inputs) -> Iterator[Finding]:
    """Recipes, and what they are to train on."""
    if inputs.train is None:
        return
    for recipe in inputs.recipes:
        problem = problem_of(partial(read_recipe, recipe, inputs.overrides))
        yield Finding(f"recipe {Path(recipe).name}", "--recipes", recipe, problem)
        if not inputs.train and not problem:
            problem = problem_of(partial(_see_sources, recipe, inputs))
            what = f"data of {Path(recipe).name}"
            yield Finding(
                what, "--config.data.sources", recipe, problem, sources.PHOTOS, "training"
            )
    if inputs.train:
        problem = problem_of(partial(_see_data, inputs.train, inputs.photos))
        yield Finding("training data", "--train", inputs.train, problem, sources.PHOTOS, "training")


def _see_sources(recipe: str, inputs: Inputs) -> None:
    """The data that a recipe names itself."""
    config = read_recipe(recipe, inputs.overrides)
    if not config.data.sources:
        raise InputError("the recipe names none; give --train DIR, or --config.data.sources=...")
    for source in config.data.sources:
        if not is_world(source):
            read_info(source.path)


def _see_data(train: str, photos: str | None) -> None:
    """A prepared dataset, or photographs; of nobody who is evaluated."""
    if not is_local(train):
        read_info(train)
        return
    folder = Path(train).expanduser()
    evaluated = _people(photos)[0] if photos is not None else {}
    if (folder / INFO).is_file():
        trained = set(open_dataset(folder).index("train").photos)
    else:
        people = _scanned(train)
        if not any(len(some) >= USED for some in people.values()):
            raise InputError(f"--train {train}: nobody with {USED} photographs or more")
        sizes = {Path(path).stat().st_size for some in evaluated.values() for path in some}
        files = [Path(photo.path) for some in people.values() for photo in some]
        trained = {photo_hash(file) for file in files if file.stat().st_size in sizes}
    both = [
        name
        for name, some in evaluated.items()
        if any(photo_hash(path) in trained for path in some)
    ]
    if both:
        raise InputError(
            f"{len(both)} people are in --photos, too, {both[0]!r} among them; an evaluation refuses people who were "
            "trained on"
        )


def _scanned(train: str) -> dict[str, list[Photo]]:
    try:
        return scan(Settings(photos=train, out="")).people()
    except InputError as error:  # which speaks of `dynamicid prepare`'s option
        raise InputError(str(error).replace("--photos", "--train")) from None
