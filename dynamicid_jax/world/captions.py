"""What a picture shows, in words: a row of phrases from one finite table.

    one person in a red shirt, in a happy expression, facing up, in half left view, before the sea
    one person, far away, on the left in a blue shirt, in a sad expression, in front view, before a sand wall
    two people, on the left in a ..., on the right in a ..., before a mint wall

The phrases of a scene are whole numbers (`phrase_ids`), so captions can be made inside a jitted
step: tokenise PHRASES once, then `join_tokens`. Expression and pose are in the wording of
faces/prompts.py, with its own vocabulary of views.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from dynamicid_jax.faces.prompts import FaceWords
from dynamicid_jax.world.factors import seed_of, unit
from dynamicid_jax.world.motion import EXPRESSIONS, FACINGS, POSES, Motion
from dynamicid_jax.world.scene import BACKGROUNDS, SHIRTS, Scene

COUNTS = ("one person", "two people", "three people")
_PLACES = ("", ", on the left", ", in the middle", ", on the right")
_ARTICLES = {"orange": "an"}
_DISTANCES = ("", ", further off", ", far away")  # said of someone alone
_GROUPS: dict[str, tuple[str, ...]] = {
    "count": COUNTS,
    "distance": _DISTANCES,
    "place": _PLACES,
    "shirt": tuple(f" in {_ARTICLES.get(one, 'a')} {one} shirt" for one in SHIRTS),
    "expression": tuple(f", in a {one} expression" for one in EXPRESSIONS),
    "facing": ("", *(f", facing {one}" for one in FACINGS[1:])),
    "pose": tuple(f", in {one} view" for one in POSES),
    "background": tuple(f", before {one}" for one in BACKGROUNDS),
}
PHRASES = ("", *(phrase for group in _GROUPS.values() for phrase in group))
"""All phrases; number 0 says nothing."""
_START = dict(zip(_GROUPS, np.cumsum([1, *map(len, _GROUPS.values())]).tolist(), strict=False))
# The place phrase of each place among 1, 2, 3.
_WHERE = np.array([[0, 0, 0], [1, 3, 0], [1, 2, 3]], np.int32)
PER_PERSON = 5
ATTRIBUTES = ("count", "shirt", "expression", "pose", "background")
"""What every caption says; `misnamed` takes one of them."""


def phrase_ids(scene: Scene) -> Int[Array, "l"]:
    """The caption of one scene as numbers of PHRASES: 3 + 5 per place, 0 where nothing is said."""
    places, move = scene.x.shape[0], scene.move
    alone = scene.heads == 1
    column = jnp.where(alone, scene.stand, jnp.arange(places))
    where = jnp.asarray(_WHERE)[scene.distance, column]
    person = [
        _START["place"] + where,
        _START["shirt"] + scene.shirt,
        _START["expression"] + move.expression,
        _START["facing"] + move.facing,
        _START["pose"] + move.pose,
    ]
    said = jnp.where(scene.present[:, None], jnp.stack(person, 1), 0)
    count = _START["count"] + scene.heads - 1
    distance = jnp.where(alone, _START["distance"] + scene.distance, 0)
    background = _START["background"] + scene.background
    return jnp.concatenate([count[None], distance[None], said.reshape(-1), background[None]])


def misnamed(ids: Int[Array, "l"], attribute: str, number: Int[Array, ""]) -> Int[Array, "l"]:
    """A caption's phrases with one attribute wrong, of everybody in the picture; all else stays.

    Args:
        ids: from `phrase_ids`.
        attribute: of ATTRIBUTES.
        number: which of the wrong phrases; whole numbers take their turns.
    """
    first, many = _START[attribute], len(_GROUPS[attribute])
    inside = (ids >= first) & (ids < first + many)
    wrong = first + (ids - first + 1 + number % (many - 1)) % many
    return jnp.where(inside, wrong, ids)


SILENT = ("shirt", "expression", "pose", "background")
"""What a caption may leave out; facing goes with the pose."""


def hushed(
    ids: Int[Array, "l"], seed: Array, silence: float, silent: tuple[str, ...] = SILENT
) -> Int[Array, "l"]:
    """A caption without some of its phrases: shirts, expressions, poses and the background, each left out at times.

    Who always reads everything cannot draw a person of whom only the shirt is said.

    Args:
        ids: from `phrase_ids`.
        seed: of the picture.
        silence: share of the phrases that are left out.
        silent: of SILENT: which kinds may be.
    """
    places = (ids.shape[0] - 3) // PER_PERSON
    own = seed_of(seed, "silence", jnp.arange(places))
    least = {name: silence * (name in silent) for name in SILENT}
    said = {name: unit(own, name) >= least[name] for name in SILENT[:3]}
    place = jnp.ones(places, bool)
    person = [place, said["shirt"], said["expression"], said["pose"], said["pose"]]
    around = jnp.ones(2, bool), unit(seed, "silent background")[None] >= least["background"]
    kept = jnp.concatenate([around[0], jnp.stack(person, 1).reshape(-1), around[1]])
    return jnp.where(kept, ids, 0)


def caption(ids: Int[np.ndarray, "l"]) -> str:
    """The caption as text."""
    return "".join(PHRASES[i] for i in ids.tolist())


def describe(people: Sequence[tuple[str, FaceWords]], background: str) -> str:
    """The caption of people who stand from left to right, each a shirt's colour and face words.

    Args:
        people: 1 to 3; colours of scene.SHIRTS, views of motion.POSES.
        background: of scene.BACKGROUNDS.
    """
    parts = [COUNTS[len(people) - 1]]
    for where, (shirt, words) in zip(_WHERE[len(people) - 1], people, strict=False):
        article = _ARTICLES.get(shirt, "a")
        parts += [f"{_PLACES[where]} in {article} {shirt} shirt, {words.prompt()}"]
    return "".join([*parts, f", before {background}"])


def face_words(move: Motion) -> FaceWords:
    """Expression and pose of one face (leaves without axes, on the host) in words."""
    return FaceWords(
        expression=EXPRESSIONS[int(move.expression)],  # type: ignore[arg-type]  # the same names
        facing=FACINGS[int(move.facing)],  # type: ignore[arg-type]
        view=POSES[int(move.pose)],  # type: ignore[arg-type]
    )


def join_tokens(
    ids: Int[Array, "l"],
    tokens: Int[Array, "k m"],
    lengths: Int[Array, "k"],
    begin: int,
    end: int,
    size: int,
) -> Int[Array, "size"]:
    """A caption's tokens from its phrases': begin, phrases without gaps, then `end` to the end.

    Args:
        ids: from `phrase_ids`.
        tokens: of each of PHRASES, padded to m; tokenisers that part words at spaces and commas
            give the same for a phrase alone as within a text.
        lengths: how many of them count; 0 for an empty phrase.
        begin: start-of-text token.
        end: end-of-text token, also the padding.
        size: of the result; a longer caption is cut.
    """
    length = lengths[ids]
    start = 1 + jnp.cumsum(length) - length
    column = jnp.arange(tokens.shape[1])[None]
    place = jnp.where(column < length[:, None], start[:, None] + column, size)
    text = jnp.full(size, end, tokens.dtype).at[0].set(begin)
    text = text.at[place].set(tokens[ids], mode="drop")
    return text.at[size - 1].set(end)


def without_motion(ids: Int[np.ndarray, "l"]) -> Int[np.ndarray, "l"]:
    """The same phrases without expressions, facings and poses (on the host)."""
    said = (ids >= _START["expression"]) & (ids < _START["background"])
    return np.where(said, 0, ids)
