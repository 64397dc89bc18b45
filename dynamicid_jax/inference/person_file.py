"""A reusable person in one file, written only when somebody asks for it.

    NAME.person     safetensors: face tokens per member; metadata "dynamicid_person": JSON (`_Notes`)

Face tokens are biometric data: the file has the day on which it expires and a consent note, only its owner may read
it, and `forget_person` deletes it. Nothing is cached from it anywhere. It holds no photograph.

Tokens mean something to one face projection only, so the file names it (`token_space`); an edit of expression or pose
is part of them, and another one needs the photographs again.
"""

import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.files import check_output, write_atomically
from dynamicid_jax.images import check_file, shown
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.recipe import SMALL, fingerprint
from dynamicid_jax.models.configs import FaceProjectionConfig
from dynamicid_jax.provenance.consent import read_consent
from dynamicid_jax.provenance.statement import make_salt, salt_person
from dynamicid_jax.types import Params

SUFFIX, KEY, VERSION = ".person", "dynamicid_person", 1
OWNER_ONLY = 0o600
MAX_BYTES, MAX_MEMBERS, MAX_DEPTH = 64 << 20, 64, 8
EXPIRY = "a day such as 2030-12-31, or a number of days such as 90d"


@dataclass(frozen=True)
class _Notes:
    """What a file says beside its tokens.

    Attributes:
        version: of this format.
        id: a random name, by which pictures' recipes know the file.
        space: `token_space` of the model.
        created: ISO day.
        expires: ISO day, the last on which it may be used.
        consent: the note.
        weights: of the members; they sum to 1.
        recipe: what the person was made from: salted hashes and words.
    """

    version: int
    id: str
    space: str
    created: str
    expires: str
    consent: str
    weights: list[float]
    recipe: dict[str, Any]


def is_person_file(value: Any) -> bool:
    """Whether a photo argument names a person file instead, by its ending."""
    return isinstance(value, str | Path) and Path(value).suffix.lower() == SUFFIX


def token_space(config: FaceProjectionConfig, weights: Params) -> str:
    """A short name for what face tokens mean: the face projection's fingerprint, the same at every precision."""

    def coarse(leaf: Any) -> Any:
        return leaf if leaf.size > SMALL else jnp.asarray(leaf, jnp.bfloat16)

    return fingerprint(config, jax.tree.map(coarse, weights))


def save_person(
    path: str | Path, person: Person, *, expires: str | date, consent: str | Path, space: str
) -> Path:
    """Writes a person; only the owner may read the file.

    Args:
        path: ends in .person.
        person: from photographs, from tokens, or a mix.
        expires: the last day on which it may be used: a date, "2030-12-31", or "90d" from today.
        consent: what the person has agreed to, as text or a text file.
        space: `token_space` of the model that made the tokens.

    Raises:
        InputError: another ending, a day that is past, no consent.
        OutputError: the file cannot be written.
    """
    check_name(path)
    notes = _Notes(
        version=VERSION,
        id=secrets.token_hex(16),
        space=space,
        created=today().isoformat(),
        expires=parse_expiry(expires).isoformat(),
        consent=read_consent(consent),
        weights=[share for _, share in person.members],
        recipe=_for_keeping(person.recipe),
    )
    arrays = {
        f"members/{number:02}": np.asarray(tokens, np.float32)
        for number, (tokens, _) in enumerate(person.members)
    }
    data = save(arrays, {KEY: json.dumps(asdict(notes))})
    return write_atomically(path, lambda file: file.write(data), mode=OWNER_ONLY)


def check_name(path: str | Path) -> Path:
    """The path, if a person file can be written there.

    Raises:
        InputError: another ending.
        OutputError: its folder does not exist or cannot be written, or the path is a folder.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise InputError(f"{path}: expected a name that ends in {SUFFIX}")
    return check_output(path)


def load_person(path: str | Path, *, space: str) -> Person:
    """A person from a file, for the model whose `token_space` is given.

    Raises:
        InputError: no such file, no person file, an expired one, or one of another model.
    """
    notes, arrays = _read_current(path)
    name = shown(path)
    if notes.space != space:
        raise InputError(
            f"{name}: was made with another model's face projection; make it again with this model"
        )
    recipe = {**_consenting(notes.recipe, notes.consent), "person_file": notes.id}
    members = tuple(
        (jnp.asarray(tokens), weight) for tokens, weight in zip(arrays, notes.weights, strict=True)
    )
    return Person(members, recipe=recipe)


def check_person(path: str | Path) -> str:
    """The consent note of a file that may be used today; whether it fits a model shows when it is loaded.

    Raises:
        InputError: no such file, no person file, or an expired one.
    """
    return _read_current(path)[0].consent


def describe_person(path: str | Path) -> dict[str, Any]:
    """What a file says, without what is biometric.

    Raises:
        InputError: no such file, or no person file.
    """
    notes, arrays = _read(path)
    told = asdict(notes)
    expired = date.fromisoformat(notes.expires) < today()
    return {**told, "expired": expired, "tokens": [list(tokens.shape) for tokens in arrays]}


def forget_person(path: str | Path) -> list[Path]:
    """Deletes a person file, and what an interrupted write may have left of it beside it.

    Returns:
        the files deleted.

    Raises:
        InputError: no such file, or no person file: nothing else is ever deleted.
        OutputError: it cannot be deleted.
    """
    _read(path)
    file = Path(path)
    leftovers = [one for one in file.parent.glob(f".{_escaped(file.name)}.*") if one.is_file()]
    try:
        for one in (file, *leftovers):
            one.unlink()
    except OSError as error:
        raise OutputError(f"{shown(path)}: cannot be deleted ({error.strerror})") from None
    return [file, *leftovers]


def parse_expiry(value: str | date) -> date:
    """The last day on which a file may be used.

    Raises:
        InputError: not a day, or one that is past.
    """
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, str):
        days = re.fullmatch(r"(\d{1,5})d", value.strip())
        try:
            value = today() + timedelta(int(days[1])) if days else date.fromisoformat(value.strip())
        except (ValueError, OverflowError):
            raise InputError(f"expires: expected {EXPIRY}, got {value!r}") from None
    if not isinstance(value, date):
        raise InputError(f"expires: expected {EXPIRY}, got {value!r}")
    if value < today():
        raise InputError(f"expires: {value.isoformat()} is past; expected {EXPIRY}")
    return value


def today() -> date:
    """The day in UTC, so that a file expires everywhere at once."""
    return datetime.now(UTC).date()


def _for_keeping(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without a place in a picture, its hashes salted for this file alone."""
    kept = {key: value for key, value in recipe.items() if key != "box"}
    return salt_person(kept, make_salt({**kept, "nonce": secrets.token_hex(16)}))


def _consenting(recipe: dict[str, Any], note: str) -> dict[str, Any]:
    """A recipe with the file's note; in a mix for everybody who has none of their own."""
    if "mix" not in recipe:
        return {**recipe, "consent": note}
    parts = [part if part.get("consent") else _consenting(part, note) for part in recipe["mix"]]
    return {**recipe, "mix": parts}


def _escaped(name: str) -> str:
    """A file name as a glob pattern of itself."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _read_current(path: str | Path) -> tuple[_Notes, list[np.ndarray]]:
    """As `_read`, and not expired."""
    notes, arrays = _read(path)
    name = shown(path)
    if date.fromisoformat(notes.expires) < today():
        raise InputError(
            f"{name}: expired on {notes.expires}; delete it with: dynamicid person --forget {name}"
        )
    return notes, arrays


def _read(path: str | Path) -> tuple[_Notes, list[np.ndarray]]:
    """Notes and tokens, checked."""
    name = shown(path)
    check_file(path, name)
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        with safe_open(str(path), "numpy") as file:
            notes = _Notes(**json.loads((file.metadata() or {})[KEY]))
            arrays = [file.get_tensor(key) for key in sorted(file.keys())]
        _check(notes, arrays)
    except (
        SafetensorError,
        OSError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ):
        raise InputError(
            f"{name}: not a person file of this version; expected one that `dynamicid person` wrote"
        ) from None
    return notes, arrays


def _check(notes: _Notes, arrays: list[np.ndarray]) -> None:
    """Raises ValueError or TypeError for anything that `save_person` would not have written."""
    texts = (notes.id, notes.space, notes.created, notes.consent)
    date.fromisoformat(notes.expires)
    json.dumps(asdict(notes), ensure_ascii=False).encode()  # a ValueError for half a surrogate pair
    weights = np.asarray(notes.weights, np.float64)
    fits = (
        notes.version == VERSION
        and all(isinstance(text, str) for text in texts)
        and _is_recipe(notes.recipe)
        and 1 <= len(arrays) <= MAX_MEMBERS
        and weights.shape == (len(arrays),)
        and bool((weights >= 0).all())
        and abs(float(weights.sum()) - 1) < 1e-3
        and all(one.dtype == np.float32 and one.ndim == 2 for one in arrays)
        and len({one.shape for one in arrays}) == 1
        and all(np.isfinite(one).all() for one in arrays)
    )
    if not fits:
        raise ValueError("another shape")


def _is_recipe(value: Any, depth: int = 0) -> bool:
    """Whether a person's recipe has the entries that later readers take for granted."""
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return False
    hashes, parts = value.get("references", []), value.get("mix", [])
    texts = [value.get(key) for key in ("pose", "face_tokens", "person_file", "consent")]
    return (
        isinstance(hashes, list)
        and all(isinstance(one, str) for one in hashes)
        and all(one is None or isinstance(one, str) for one in texts)
        and isinstance(parts, list)
        and all(
            _is_recipe(one, depth + 1) and isinstance(one.get("weight"), int | float)
            for one in parts
        )
    )
