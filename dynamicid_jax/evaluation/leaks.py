"""People who were trained on have no place in an evaluation.

Training writes MODEL/trained_on.json (convert/trained_on.py), and exports carry it along. A photographed person is
refused if any of their photos in the folder was trained on. A model without the file (published checkpoints) can be
checked against the prepared dataset itself (--trained_on).

run.json and results.json keep the outcome: {"outcome": "none" (nobody was trained on) or "unknown" (nothing to check
against), "people": how many were looked for, "against": [{"source", "made_up": [splits], "photos": how many}]}
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamicid_jax.convert.trained_on import DIGITS, TRAINED_ON, Trained, read_trained
from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.casts import Cast, Photographed
from dynamicid_jax.evaluation.shots import Shot

SPLIT = "eval"  # of the world: whom made-up suites draw


def check_leaks(
    model: str | Path, cast: Cast, people: Sequence[int], datasets: Sequence[str] = ()
) -> dict[str, Any]:
    """Refuses people who were trained on.

    Args:
        model: a model folder, or "mini".
        cast: who is to be drawn.
        people: which of them, by number; those who stand beside others, too.
        datasets: prepared datasets that the model was trained on.

    Returns:
        The outcome, as run.json keeps it; see the top of the file.

    Raises:
        InputError: people were trained on.
    """
    known = [(TRAINED_ON, read_trained(model))]
    known += [(f"dataset {Path(path).name}", of_dataset(path)) for path in datasets]
    found = [(where, one) for where, one in known if one is not None]
    for where, one in found:
        if isinstance(cast, Photographed):
            _check_photos(cast, people, one, f"{model}: {where}")
        elif SPLIT in one.made_up:
            raise InputError(
                f"leak: this model was trained on the world's split {SPLIT!r} ({model}: {where}), whose people the "
                "suite draws; numbers on them say nothing"
            )
    against = [
        {"source": where, "made_up": list(one.made_up), "photos": len(one.photos)}
        for where, one in found
    ]
    return {
        "outcome": "none" if found else "unknown",
        "people": len(set(people)),
        "against": against,
    }


def everybody(shots: Sequence[Shot]) -> list[int]:
    """The numbers of all people in these shots."""
    return sorted({who for shot in shots for who in shot.shows.people})


def leak_words(kept: Mapping[str, Any] | None) -> str:
    """An outcome in words; None: the run does not say."""
    if kept is None:
        return (
            "not done: run.json says nothing of it (--only sample does it, and draws nothing twice)"
        )
    people = f"{kept['people']} {'person' if kept['people'] == 1 else 'people'}"
    if kept["outcome"] == "unknown":
        return (
            f"not possible: the model does not say whom it was trained on (--trained_on DATASET); {people} drawn "
            "unchecked"
        )
    sources = [
        f"{one['source']}: "
        + (f"made-up people of {', '.join(one['made_up'])}; " if one["made_up"] else "")
        + f"{one['photos']} photos"
        for one in kept["against"]
    ]
    return f"nobody was trained on, of {people}, checked against {', '.join(sources)}"


def _check_photos(cast: Photographed, people: Sequence[int], one: Trained, where: str) -> None:
    hashes = set(one.photos)
    names = [cast.names[number] for number in sorted(set(people))]
    leaked = [
        name for name in names if any(photo_hash(path) in hashes for path in cast.photos[name])
    ]
    if leaked:
        raise InputError(
            f"leak: {len(leaked)} of {len(names)} people were trained on ({where}), {leaked[0]!r} among them; "
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
