"""The recipe of a picture: everything that made it, as JSON in the PNG's metadata.

A recipe names the references by salted hashes (`provenance.statement`) and holds no photo, no embedding and no
time, so that the same call on the same machine gives the same file, byte for byte.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dynamicid_jax.errors import InputError
from dynamicid_jax.files import write_atomically
from dynamicid_jax.provenance.png import RECIPE_KEY, png_bytes
from dynamicid_jax.provenance.statement import make_salt, salt_person, statement

SMALL = 65536  # values: the tensors whose contents count for a fingerprint


def versions() -> dict[str, str]:
    """Versions of what computes a picture."""
    from importlib.metadata import version

    return {name: version(name) for name in ("dynamicid-jax", "jax", "jaxlib", "flax", "numpy")}


def picture_recipe(
    asked: Mapping[str, Any],
    people: Sequence[Mapping[str, Any]],
    model: Mapping[str, Any],
    dtype: Any,
) -> dict[str, Any]:
    """What made a call's pictures, with the photographs as salted hashes.

    Args:
        asked: the request and where its noise came from.
        people: what persons say of themselves (`Person.recipe`).
        model: name, fingerprint, weights and LoRA files.
        dtype: of the arithmetic.
    """
    import jax  # here, so that who only writes files does not wait for it

    plain = {
        **asked,
        "people": list(people),
        "model": dict(model),
        "dtype": np.dtype(dtype).name,
        "backend": jax.default_backend(),
        "versions": versions(),
    }
    salt = make_salt(plain)
    salted = [salt_person(person, salt) for person in people]
    return {**plain, "people": salted, "provenance": statement(model, salted, salt)}


def save_picture(
    image: Image.Image,
    path: str | os.PathLike[str],
    recipe: Mapping[str, Any] | None = None,
    *,
    provenance: bool = True,
) -> Path:
    """Writes a PNG with its recipe and a statement that it was generated (`provenance.png.png_bytes`).

    Args:
        image: the picture.
        path: ends in .png.
        recipe: what made it; a sheet of several pictures has the "provenance" of their recipe only.
        provenance: False, which has to be asked for, writes the bare pixels.

    Raises:
        InputError: the name does not end in .png, which alone carries the recipe here; or the operator demands
            provenance, or a signature that cannot be made.
        OutputError: the file cannot be written.
    """
    check_png(path)
    data = png_bytes(image, recipe, provenance=provenance)
    return write_atomically(path, lambda file: file.write(data))


def of_sheet(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a sheet of a call's pictures says: the statement, without what would make one of them again."""
    return {"provenance": recipe["provenance"]}


def check_png(path: str | os.PathLike[str]) -> None:
    """Raises `InputError` unless the name ends in .png."""
    if Path(path).suffix.lower() != ".png":
        raise InputError(
            f"{path}: pictures are written as PNG, which carries the recipe; end the name in .png"
        )


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The recipe in a picture made by this package, or in a JSON file: the recipe alone, or `--json`'s metadata.

    Raises:
        InputError: no such file, neither PNG nor JSON, or without a readable recipe.
    """
    kind, read = ("JSON", _json_text) if Path(path).suffix == ".json" else ("a PNG", _png_text)
    try:
        text = read(Path(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a picture made by dynamicid") from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise InputError(
            f"{path}: cannot be read as {kind} ({error}); expected one made by dynamicid"
        ) from None
    try:
        recipe = json.loads(text or "")
        recipe = recipe.get("recipe", recipe)
        people = recipe["people"]
        if not isinstance(people, list) or not all(isinstance(one, dict) for one in people):
            raise TypeError
    except (TypeError, ValueError, LookupError, AttributeError):
        raise InputError(
            f"{path}: carries no recipe; expected a PNG made by dynamicid, unedited"
        ) from None
    return recipe


def _png_text(path: Path) -> str | None:
    with Image.open(path) as image:
        image.load()
        return getattr(image, "text", {}).get(RECIPE_KEY)


def _json_text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8")


def fingerprint(config: Any, weights: Mapping[str, Any]) -> str:
    """A short name for a model: SHA-256 of its config, every tensor's path and shape, and all small tensors' values.

    Small (at most 65 536 values: biases, norms, low-rank factors) keeps it quick where weights lie on an accelerator.
    """
    import jax  # here, so that who only writes files does not wait for it

    digest = hashlib.sha256(json.dumps(dataclasses.asdict(config), sort_keys=True).encode())
    leaves = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(weights)
    }
    for path, leaf in sorted(leaves.items()):
        digest.update(f"{path} {leaf.shape}".encode())
        if leaf.size <= SMALL:
            digest.update(np.asarray(leaf, np.float32).tobytes())
    return digest.hexdigest()[:16]
