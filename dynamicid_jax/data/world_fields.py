"""What a batch asks of the world: every field of data/batch.py as a function of scenes and their truth.

    fields = FieldPlan (static: what, how large) + tables (arrays: tokens of phrases and prompts, the recogniser)

Captions are put together from the tokens of their phrases, face prompts are looked up among the 7 x 3 x 5 there are,
and identities come from a recogniser of this project, so that a whole batch is drawn by a few jitted functions.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from dynamicid_jax.data.batch import FACE, TWINS, BatchSpec
from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.prompts import FaceWords
from dynamicid_jax.models.face_configs import FaceNetsConfig
from dynamicid_jax.models.face_nets import face_net
from dynamicid_jax.types import Params
from dynamicid_jax.world.captions import PHRASES, SILENT, hushed, join_tokens, phrase_ids
from dynamicid_jax.world.faces import (
    FACE_FIELDS,
    FACE_TRUTH,
    aligned_exactly,
    reference_crop,
    reference_raster,
)
from dynamicid_jax.world.motion import EXPRESSIONS, FACINGS, POSES
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.scene import Scene
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.truth import Truth, truth
from dynamicid_jax.world.twins import twins_of

# Side at which a face is drawn for its identity; enlarged to what the recogniser sees.
FACE_PIXELS = 64
TEXT = ("phrases", "text_ids", "face_text_ids", "twin_text_ids")
Tables = dict[str, Any]


class Drawable(NamedTuple):
    """Scenes [b ...], and what is true of them."""

    scenes: Scene
    found: Truth


@dataclass(frozen=True)
class FieldPlan:
    """What to draw; static.

    Attributes:
        fields: of the batch, `person` among them.
        size: side of pictures and of the face networks' crops.
        reference_size: side of `reference`.
        text_length: tokens of a text.
        ends: first and last token of every text.
        faces: shapes of the network that gives identities, where they are asked for.
        silence: share of a caption's phrases that are left out.
        silent: which of them may be.
    """

    fields: tuple[str, ...]
    size: int
    reference_size: int = 0
    text_length: int = 0
    ends: tuple[int, int] = (0, 0)
    faces: FaceNetsConfig | None = None
    silence: float = 0.0
    silent: tuple[str, ...] = SILENT
    twin_people: float = 0.0


def plan_fields(
    spec: BatchSpec,
    tokenizer: Any = None,
    faces: tuple[FaceNetsConfig, Params] | None = None,
    silence: float = 0.0,
    silent: tuple[str, ...] = SILENT,
    twin_people: float = 0.0,
) -> tuple[FieldPlan, Tables]:
    """A batch's fields, and the arrays that drawing them takes.

    Args:
        spec: what a batch holds.
        tokenizer: of the model, for texts.
        faces: shapes and weights of face networks, for identities.
        silence: share of a caption's phrases that are left out.
        silent: which of them may be.
        twin_people: share of twins that show other people.

    Raises:
        InputError: a field that the world does not draw, or that lacks its network.
    """
    known = {"person", "number", "face_box", *_DRAWN, *_TOLD, *TWINS}
    for name in FACE_FIELDS:
        known |= {name, *FACE_TRUTH[name]} if name in spec.fields else {name}
    if unknown := sorted(set(spec.fields) - known):
        raise InputError(
            f"data.sources: the world does not draw {', '.join(unknown)}; this stage needs a dataset"
        )
    fields = tuple(sorted({*spec.fields, "person"}))
    tables: Tables = {}
    length, ends, shapes = 0, (0, 0), None
    if set(fields) & set(TEXT):
        if tokenizer is None:
            raise InputError("data.sources: the world's captions need the model's tokenizer")
        made, ends = _text_tables(tokenizer)
        tables, length = tables | made, int(made["prompts"].shape[1])
    if "id_embedding" in fields:
        if faces is None or "recogniser" not in faces[1]:
            raise InputError(
                "data.face_nets: identities of drawn people come from a recogniser; give a folder of face networks "
                "(WORKDIR/model of configs/mini/face_pack)"
            )
        shapes, tables["recogniser"] = faces[0], faces[1]["recogniser"]
    sizes = spec.image_size, spec.reference_size
    return FieldPlan(fields, *sizes, length, ends, shapes, silence, silent, twin_people), tables


def _text_tables(tokenizer: Any) -> tuple[Tables, tuple[int, int]]:
    """Tokens of every phrase and of every face prompt, and the tokens around a text."""
    rows = tokenizer.ids(PHRASES)
    begin, end = int(rows[0, 0]), int(rows[0, -1])
    # A phrase is what stands between the first token and the first end.
    inner = rows[:, 1:]
    lengths = (inner == end).argmax(1).astype(np.int32)
    words = [
        FaceWords(expression, facing, view)  # type: ignore[arg-type]  # the same names
        for expression in EXPRESSIONS
        for facing in FACINGS
        for view in POSES
    ]
    prompts = tokenizer.ids([one.prompt() for one in words])
    tokens = inner[:, : max(int(lengths.max()), 1)]
    return {"phrases": tokens, "lengths": lengths, "prompts": prompts}, (begin, end)


def draw_fields(
    source: Source, plan: FieldPlan, tables: Tables, numbers: Int[Array, " b"]
) -> dict[str, Array]:
    """The fields of the pictures with these numbers; `raster` and the like are the first person's.

    What is drawn has programs of its own (_DRAWN): they take longest to compile, and twins, held-out batches and wrong
    faces are drawn by the same ones.
    """
    made, shown = _told(source, plan, tables, numbers)
    for prefix, those in shown.items():
        for name, draw in _DRAWN.items():
            if prefix + name not in plan.fields:
                continue
            same = prefix and name == "id_embedding" and not plan.twin_people
            made[prefix + name] = made[name] if same else draw(plan, tables, those)
    return {name: made[name] for name in plan.fields}


@partial(jax.jit, static_argnums=(0, 1))
def _told(
    source: Source, plan: FieldPlan, tables: Tables, numbers: Int[Array, " b"]
) -> tuple[dict[str, Array], dict[str, Drawable]]:
    """All fields but _DRAWN, and the scenes to draw: the pictures' own (""), and their twins ("twin_") if wanted."""
    own = drawable(source.scenes(numbers))
    shown = {"": own}
    if set(TWINS) & set(plan.fields):
        shown["twin_"] = drawable(twins_of(own.scenes, source, plan.twin_people))
    boxes = jnp.where(own.found.present[..., None], own.found.box, 0.0)
    made: dict[str, Array] = {
        "person": own.scenes.who.person[:, 0],
        "number": numbers,
        "face_box": boxes[:, 0] if source.places == 1 else boxes,
    }
    for name, draw in FACE_FIELDS.items():
        if name in plan.fields:
            made |= draw(*own, plan.size)
    for prefix, those in shown.items():
        for name, tell in _TOLD.items():
            if prefix + name in plan.fields:
                made[prefix + name] = tell(plan, tables, those)
    return made, shown


def drawable(scenes: Scene) -> Drawable:
    """Scenes [b ...] with their truth."""
    return Drawable(scenes, jax.vmap(truth)(scenes))


def draw_faces(plan: FieldPlan, tables: Tables, those: Drawable) -> dict[str, Array]:
    """FACE of the first person of scenes."""
    return {name: _DRAWN[name](plan, tables, those) for name in FACE}


def _pixels(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    return _pictures(plan.size, those.scenes)


@partial(jax.jit, static_argnums=0)
def _pictures(size: int, scenes: Scene) -> Array:
    return to_bytes(render_many(scenes, size))


def _reference(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    return _crops(plan.reference_size, those)


@partial(jax.jit, static_argnums=0)
def _crops(size: int, those: Drawable) -> Array:
    return reference_crop(*those, size)


def _id_embedding(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    assert plan.faces is not None
    return _identities(plan.faces, tables["recogniser"], those)


@partial(jax.jit, static_argnums=0)
def _identities(faces: FaceNetsConfig, recogniser: Params, those: Drawable) -> Array:
    side = faces.recogniser.size
    shown = aligned_exactly(*those, FACE_PIXELS).astype(jnp.float32) / 127.5 - 1
    large = jax.image.resize(shown, (shown.shape[0], side, side, 3), "linear")
    raw: Any = face_net(faces, "recogniser").apply({"params": recogniser}, large)
    return raw / jnp.maximum(jnp.linalg.norm(raw, axis=-1, keepdims=True), 1e-6)


def _raster(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    return reference_raster(those.found)


def _text_ids(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    return caption_ids(plan, tables, _phrases(plan, tables, those))


def caption_ids(plan: FieldPlan, tables: Tables, phrases: Int[Array, "b n"]) -> Int[Array, "b l"]:
    """Token ids of captions that are given as numbers of phrases."""

    def joined(ids: Int[Array, " n"]) -> Int[Array, " l"]:
        tokens, lengths = tables["phrases"], tables["lengths"]
        return join_tokens(ids, tokens, lengths, *plan.ends, plan.text_length)

    return jax.vmap(joined)(phrases)


def _phrases(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    def said(scene: Scene) -> Array:
        ids = phrase_ids(scene)
        hush = plan.silence, plan.silent
        return hushed(ids, scene.seed, *hush) if plan.silence else ids

    return jax.vmap(said)(those.scenes)


def _face_text_ids(plan: FieldPlan, tables: Tables, those: Drawable) -> Array:
    move = jax.tree.map(lambda leaf: leaf[:, 0], those.scenes.move)
    number = (move.expression * len(FACINGS) + move.facing) * len(POSES) + move.pose
    return tables["prompts"][number]


_DRAWN = {"pixels": _pixels, "reference": _reference, "id_embedding": _id_embedding}
_TOLD = {
    "raster": _raster,
    "text_ids": _text_ids,
    "phrases": _phrases,
    "face_text_ids": _face_text_ids,
}
