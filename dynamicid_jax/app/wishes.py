"""What a visitor asks for, checked: JSON in, frozen values out, or one line that names what is wrong.

    {"kind": "picture", "prompt": "two friends at the sea, {face}, {face}", "seed": 7, "pictures": 1, "layout": "boxes",
     "people": [{"photos": ["ada"], "face": "happy, half left", "box": [0.05, 0.1, 0.45, 0.6]},
                {"photos": ["ben"], "mix": {"photos": ["dan"], "share": 0.5}, "strength": 0.8,
                 "box": [0.5, 0.1, 0.95, 0.6]}]}

Everything but `prompt` may be left out; the model's own defaults are filled in. `{face}` in a prompt becomes the face
words of the next person.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamicid_jax.app.limits import Limits
from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.prompts import parse_face_words
from dynamicid_jax.inference.layout import AUTO, check_box, check_place
from dynamicid_jax.inference.people import Place
from dynamicid_jax.inference.request import DEFAULTS, Request, check_number
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.types import Number

KINDS = ("picture", "grid")
LAYOUTS = ("boxes", "strips", AUTO)
OPTIONS = tuple(name for name in DEFAULTS if name not in ("num_images", "gate"))
WISH_KEYS = ("kind", "prompt", "people", "layout", "pictures", *OPTIONS)
PERSON_KEYS = ("photos", "face", "pose", "box", "words", "strength", "mix", "consent")
TEXTS = ("prompt", "negative_prompt")


@dataclass(frozen=True)
class PersonWish:
    """One person asked for; photos are named by their ids.

    Attributes:
        photos: whom; one at least.
        face: words for expression and pose, or None.
        pose: a photo whose motion is taken, or None.
        place: a box, "auto", "auto:WORDS", or None.
        strength: of their features.
        mixed_with: photos of somebody who is mixed in; empty for nobody.
        share: of whoever is mixed in, in [0, 1].
        consent: what the visitor says about the consent of whom the photos show; passed on into the recipe.
    """

    photos: tuple[str, ...]
    face: str | None = None
    pose: str | None = None
    place: Place = None
    strength: float = 1.0
    mixed_with: tuple[str, ...] = ()
    share: float = 0.0
    consent: str = ""

    @property
    def all_photos(self) -> tuple[str, ...]:
        """Every photo it needs."""
        return (*self.photos, *self.mixed_with, *((self.pose,) if self.pose else ()))


@dataclass(frozen=True)
class Wish:
    """One request.

    Attributes:
        kind: "picture", or "grid": the first person in all expressions and poses.
        request: the checked arguments of the pipeline's call.
        people: who is in it.
        layout: "boxes", "strips" or "auto".
        pictures: how many; picture i is made with seed + i.
    """

    kind: str
    request: Request
    people: tuple[PersonWish, ...]
    layout: str
    pictures: int

    @property
    def shape(self) -> Hashable | None:
        """Equal for wishes that one compiled batch may draw; None for a wish that is drawn alone."""
        if self.kind != "picture" or self.layout == AUTO or self.pictures > 1:
            return None
        request, members = self.request, [1 + bool(one.mixed_with) for one in self.people]
        boxed = len(members) > 1 or any(one.place is not None for one in self.people)
        flags = request.guidance_scale > 1, boxed, len(members), sum(members)
        return (request.height, request.width, request.sampler, request.steps, *flags)


def parse_wish(body: Any, config: ModelConfig, limits: Limits) -> Wish:
    """A request's JSON as a wish.

    Raises:
        InputError: an unknown key, a value out of range, more than the limits allow.
    """
    given = _object(body, WISH_KEYS, "request")
    kind = _choice(given.get("kind", "picture"), KINDS, "kind")
    layout = _choice(given.get("layout", "boxes"), LAYOUTS, "layout")
    pictures = given.get("pictures", 1)
    if isinstance(pictures, bool) or not isinstance(pictures, int) or pictures < 1:
        raise InputError(f"pictures: expected a whole number of at least 1, got {pictures!r}")
    _at_most(pictures, limits.pictures, "pictures")
    people = _list(given.get("people", []), limits.people, "people")
    wanted = tuple(_person(one, layout, number, limits) for number, one in enumerate(people, 1))
    if kind == "grid" and len(wanted) != 1:
        raise InputError(f"people: a grid shows one person, got {len(wanted)}")
    options = {name: given[name] for name in ("prompt", *OPTIONS) if given.get(name) is not None}
    for name in TEXTS:
        options[name] = _text(options.get(name, ""), limits.prompt_letters, name)
    if not options["prompt"].strip():
        raise InputError("prompt: expected what the picture shows")
    request = Request.resolve(config, **options)
    for name in ("height", "width"):
        _at_most(getattr(request, name), limits.side, name)
    _at_most(request.steps, limits.steps, "steps")
    return Wish(kind, request, wanted, layout, pictures)


def _person(body: Any, layout: str, number: int, limits: Limits) -> PersonWish:
    name = f"people: person {number}"
    given = _object(body, PERSON_KEYS, name)
    photos = _ids(given.get("photos"), limits.photos_per_person, f"{name}: photos")
    if not photos:
        raise InputError(f"{name}: expected at least one photo")
    face = _text(given.get("face") or "", limits.words_letters, f"{name}: face") or None
    if face is not None:
        parse_face_words(face)
    pose = given.get("pose") or None
    if pose is not None:
        (pose,) = _ids([pose], 1, f"{name}: pose")
    mix = _object(given.get("mix") or {}, ("photos", "share"), f"{name}: mix")
    share = mix.get("share", 0.5)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InputError(f"{name}: mix: share: expected a number from 0 to 1, got {share!r}")
    return PersonWish(
        photos=photos,
        face=face,
        pose=pose,
        place=_place(given, layout, name, limits),
        strength=check_number(given.get("strength", 1.0), "strength"),
        mixed_with=_ids(mix.get("photos", []), limits.photos_per_person, f"{name}: mix: photos"),
        share=float(share),
        consent=_text(given.get("consent") or "", limits.words_letters, f"{name}: consent"),
    )


def _place(given: Mapping[str, Any], layout: str, name: str, limits: Limits) -> Place:
    if layout == "strips":
        return None
    if layout == AUTO:
        words = _text(given.get("words") or "", limits.words_letters, f"{name}: words")
        return check_place(f"{AUTO}:{words}")
    box = given.get("box")
    return None if box is None else check_box(box, f"{name}: box")


def _object(value: Any, keys: Sequence[str], name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name}: expected an object, got {type(value).__name__}")
    unknown = sorted(set(map(str, value)) - set(keys))
    if unknown:
        raise InputError(f"{name}: unknown {unknown[0][:40]!r}; known are {', '.join(keys)}")
    return value


def _list(value: Any, most: int, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{name}: expected a list, got {type(value).__name__}")
    _at_most(len(value), most, name)
    return value


def _ids(value: Any, most: int, name: str) -> tuple[str, ...]:
    ids = _list(value, most, name)
    if not all(isinstance(one, str) and len(one) <= 64 for one in ids):
        raise InputError(f"{name}: expected ids of photos, as the upload gave them")
    return tuple(ids)


def _text(value: Any, most: int, name: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name}: expected text, got {type(value).__name__}")
    if len(value) > most:
        raise InputError(f"{name}: {len(value)} letters; at most {most}")
    return value


def _choice(value: Any, known: Sequence[str], name: str) -> str:
    if value not in known:
        raise InputError(f"{name}: expected one of {', '.join(known)}, got {str(value)[:40]!r}")
    return str(value)


def _at_most(value: Number, most: Number, name: str) -> None:
    if value > most:
        raise InputError(f"{name}: {value}; at most {most} here")
