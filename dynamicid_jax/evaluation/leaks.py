"""People who were trained on have no place in an evaluation.

Training writes MODEL/trained_on.json (convert/trained_on.py), and exports carry it along. A photographed person is
refused if any of their photos in the folder was trained on. A model without the file (published checkpoints) can be
checked against the prepared dataset itself (--trained_on).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dynamicid_jax.convert.trained_on import DIGITS, TRAINED_ON, Trained, read_trained
from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.casts import Cast, Photographed

SPLIT = "eval"  # of the world: whom made-up suites draw


def check_leaks(model: str | Path, cast: Cast, people: int, datasets: Sequence[str] = ()) -> str:
    """Refuses people who were trained on.

    Args:
        model: a model folder, or "mini".
        cast: who is to be drawn.
        people: how many of them.
        datasets: prepared datasets that the model was trained on.

    Returns:
        What was checked, in words.

    Raises:
        InputError: people were trained on.
    """
    known = [(TRAINED_ON, read_trained(model))]
    known += [(f"dataset {path}", of_dataset(path)) for path in datasets]
    found = [(where, one) for where, one in known if one is not None]
    for where, one in found:
        if isinstance(cast, Photographed):
            _check_photos(cast, people, one, where)
        elif SPLIT in one.made_up:
            raise InputError(
                f"leak: this model was trained on the world's split {SPLIT!r} ({where}), whose people the suite draws; "
                "numbers on them say nothing"
            )
    if not found:
        return "not possible: the model does not say whom it was trained on (--trained_on DATASET)"
    return f"nobody was trained on ({', '.join(where for where, _ in found)})"


def _check_photos(cast: Photographed, people: int, one: Trained, where: str) -> None:
    hashes = set(one.photos)
    leaked = [
        name
        for name in cast.names[:people]
        if any(photo_hash(path) in hashes for path in cast.photos[name])
    ]
    if leaked:
        raise InputError(
            f"leak: {len(leaked)} of {people} people were trained on ({where}), {leaked[0]!r} among them; "
            "take their folders out of --photos"
        )


def photo_hash(path: str | Path) -> str:
    """How trained_on.json names a photo file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:DIGITS]


def of_dataset(path: str) -> Trained:
    """The photos of a prepared dataset's training split.

    Raises:
        InputError: no such dataset.
    """
    from dynamicid_jax.data.dataset import open_dataset

    return Trained(photos=tuple(open_dataset(path).index("train").photos))
