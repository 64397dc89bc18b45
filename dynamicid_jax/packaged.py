"""What comes with the package, in its folder assets/, in a checkout and in an installed wheel alike.

assets/mini/       the mini model: a model folder with a face pack and a model card
assets/people/     photos of made-up people (world/cast.py)
"""

from importlib import resources
from pathlib import Path

from dynamicid_jax.errors import InputError

MINI = "mini"
ASSETS = Path(str(resources.files("dynamicid_jax"))) / "assets"


def mini_folder() -> Path | None:
    """The mini model's folder, None where this version comes without it."""
    folder = ASSETS / MINI
    return folder if (folder / "model.json").is_file() else None


def model_path(path: str | Path) -> Path:
    """A model's folder as users name it: a path, or "mini" (a folder of that name is `./mini`).

    Raises:
        InputError: "mini", and this version comes without it.
    """
    if path != MINI:
        return Path(path).expanduser()
    folder = mini_folder()
    if folder is None:
        raise InputError(
            '"mini": this version comes without the packaged mini model; give a model folder '
            "(./mini for a folder of that name)"
        )
    return folder


def photos() -> dict[str, Path]:
    """Photos of made-up people by name."""
    return {path.stem: path for path in sorted((ASSETS / "people").glob("*.png"))}
