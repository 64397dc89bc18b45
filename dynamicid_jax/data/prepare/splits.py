"""Training and validation, by hashes: who is in which depends on the seed and the name alone, not on who else is there.

    u(name) = SHA-256(seed, name) as a number in [0, 1)

    by person     share v: people with u < v (at least the smallest u, never all); number n: the n smallest
    by picture    the same within each person's pictures, always leaving two for training

With a share, adding a person moves nobody else; with a number, a new person may take one other's place. Folders that
seem to hold the same person stay together.
"""

import hashlib
from collections.abc import Mapping, Sequence

from dynamicid_jax.errors import InputError

TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)
LEFT = 2  # pictures of a person that training keeps: reconfiguration needs a source and a target


def unit(seed: int, name: str) -> float:
    """A name's number in [0, 1)."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def by_person(
    people: Mapping[str, str],
    validation: float,
    seed: int,
    same: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """The split of every picture, such that no person is in two.

    Args:
        people: person by picture key; a picture of nobody in particular ("") stands for itself.
        validation: share or number of people.
        seed: of the hashes.
        same: pairs of folders that seem to hold the same person.

    Raises:
        InputError: the number leaves nobody for training.
    """
    first = _joined(same)
    owner = {
        key: f"person {first.get(who, who)}" if who else f"picture {key}"
        for key, who in people.items()
    }
    held = _held(set(owner.values()), validation, seed)
    if held and len(held) == len(set(owner.values())):
        raise InputError(
            f"--validation {validation:g}: holds out all {len(held)} people; leave some for training"
        )
    return {key: VALIDATION if who in held else TRAIN for key, who in owner.items()}


def by_picture(people: Mapping[str, str], validation: float, seed: int) -> dict[str, str]:
    """The split of every picture, within each person; see `by_person`."""
    groups: dict[str, list[str]] = {}
    for key, who in people.items():
        groups.setdefault(who, []).append(key)
    splits = dict.fromkeys(people, TRAIN)
    for keys in groups.values():
        most = max(0, len(keys) - LEFT)
        held = sorted(_held(set(keys), validation, seed), key=lambda key: unit(seed, key))
        splits.update(dict.fromkeys(held[:most], VALIDATION))
    return splits


def _held(names: set[str], validation: float, seed: int) -> set[str]:
    """Who is held out."""
    order = sorted(names, key=lambda name: (unit(seed, name), name))
    if validation >= 1:
        return set(order[: int(validation)])
    number = sum(unit(seed, name) < validation for name in order)
    if validation > 0 and len(order) > 1:
        number = min(max(number, 1), len(order) - 1)  # a share leaves neither split empty
    return set(order[:number]) if len(order) > 1 else set()


def _joined(same: Sequence[tuple[str, str]]) -> dict[str, str]:
    """For each of the folders that belong together, the first of them."""
    first: dict[str, str] = {}
    for one, other in same:
        ones, others = first.get(one, one), first.get(other, other)
        for name in {*first, one, other}:
            if first.get(name, name) in (ones, others):
                first[name] = min(ones, others)
    return first
