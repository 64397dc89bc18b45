"""Batches of made-up people, drawn while they are needed: a loader without files (data/loader.py reads files).

    example e of a run     the picture whose number a shuffle of the epoch puts at place e
    of a grouped batch     a person likewise, and 1 + m different pictures of theirs
    pictures > 0           so many are drawn once, in the first epoch, and kept in memory
    pictures = 0           every picture is new; they stay on the device that drew them

Everything follows from seed and place, so a run goes on with the same pictures wherever it was broken off.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from dynamicid_jax.config import SourceConfig
from dynamicid_jax.data.batch import FACE, TWINS, BatchSpec, Variant
from dynamicid_jax.data.order import Step, go_on
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.data.world_fields import draw_fields, plan_fields
from dynamicid_jax.data.wrong_captions import wrong_captions
from dynamicid_jax.data.wrong_faces import wrong_faces
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.face_configs import FaceNetsConfig
from dynamicid_jax.types import Params
from dynamicid_jax.world.factors import SPLIT_SIZE
from dynamicid_jax.world.sources import KINDS, Source
from dynamicid_jax.world.truth import LANDMARKS

ENDLESS = 2**30  # pictures of a source that keeps none
PEOPLE = 2**20
HELDOUT_FIRST = SPLIT_SIZE // 2  # the people on whom the held-out loss is taken come from there on


def world_info(faces: FaceNetsConfig | None = None) -> DatasetInfo:
    """What holds for every source of the world; `faces` gives the identities, where there are any."""
    return DatasetInfo(LANDMARKS, embedding_width=faces.embedding if faces else 0)


def is_world(source: SourceConfig) -> bool:
    """Whether a source is drawn instead of read."""
    return source.path in KINDS


def _source(config: SourceConfig, heldout: bool, size: int) -> Source:
    """A recipe's source; held out, it has other people."""
    return Source(
        config.path,
        config.split or "train",
        people=config.people or PEOPLE,
        pictures=config.pictures or ENDLESS,
        size=size,
        first=HELDOUT_FIRST if heldout else 0,
    )


def _measured(spec: BatchSpec) -> tuple[str, ...]:
    """Fields of held-out batches: no twins, which only training reads, and by what their variants are made."""
    own = tuple(name for name in spec.fields if name not in TWINS)
    phrases = "text_ids" in own
    number = {*FACE} <= {*own} and not spec.targets
    return own + ("phrases",) * phrases + ("number",) * number


class WorldLoader(Iterator[Step]):
    """Batches of one source of the world; see the top of the file.

    Attributes:
        is_features: empty: pictures come raw.
        models: empty, likewise.
        damaged: empty: nothing drawn can be damaged.
        source: what is drawn from.
        variants: of held-out batches: the same with one attribute of the caption wrong, or one look of the face.
    """

    is_features: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    damaged: Sequence[str] = ()

    def __init__(
        self,
        source: SourceConfig,
        spec: BatchSpec,
        *,
        batch_size: int,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
        heldout: bool = False,
        tokenizer: Any = None,
        faces: tuple[FaceNetsConfig, Params] | None = None,
    ) -> None:
        """Lines up the pictures; draws none yet.

        Args:
            source: kind ("path"), split, people, pictures.
            spec: what a batch holds.
            batch_size: of the global batch.
            seed: of order and groups.
            process_index: which host this is.
            process_count: of how many.
            heldout: other people of the same split, whom training with fewer than 2^27 people never sees.
            tokenizer: of the model, for texts.
            faces: face networks, for identities.

        Raises:
            InputError: a field that the world cannot draw, or too few pictures for groups.
        """
        if heldout:
            spec = replace(spec, fields=_measured(spec))
        silence = 0.0 if heldout else source.silence
        self._plan, self._tables = plan_fields(
            spec, tokenizer, faces, silence, source.silent, source.twin_people
        )
        self.source = _source(source, heldout, spec.image_size)
        self.variants: Mapping[str, Variant] = {
            **wrong_captions(self._plan, self._tables),
            **wrong_faces(self.source, self._plan, self._tables),
        }
        keeps = source.pictures and not heldout
        self._kept: dict[int, dict[str, np.ndarray]] | None = {} if keeps else None
        self._targets = spec.targets
        self._batch_size, self._seed = batch_size, seed
        self._rows = batch_size // process_count
        self._first = process_index * self._rows
        if self._targets and self.source.views <= self._targets:
            raise InputError(
                f"{source.path}: {self.source.views} pictures of each person, and groups need {self._targets + 1}; "
                "raise data.sources' pictures or lower its people"
            )
        self._position = 0
        self._order: tuple[int, Any] = (-1, None)
        self._ahead: tuple[int, Future[Any]] | None = None
        self._thread = ThreadPoolExecutor(1, "world")

    def __next__(self) -> Step:
        """The next batch; the one after it is drawn meanwhile."""
        if self._ahead is None or self._ahead[0] != self._position:
            self._ahead = self._position, self._thread.submit(self._batch, self._position)
        numbers, batch = self._ahead[1].result()
        self._position += 1
        self._ahead = self._position, self._thread.submit(self._batch, self._position)
        keys = [
            " ".join(f"{self.source.split}/{one}" for one in np.atleast_1d(row)) for row in numbers
        ]
        return Step(batch, keys, self._position * self._batch_size / self._units)

    def pictures(self, numbers: Sequence[int]) -> dict[str, np.ndarray]:
        """The fields of chosen pictures, on the host; drawn in batches' shape, which is compiled already."""
        many = max(self._rows * (1 + self._targets), len(numbers))
        made = self._draw(np.resize(np.array(numbers, np.int32), many))
        return {name: np.asarray(value)[: len(numbers)] for name, value in made.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps (see data/order.go_on)."""
        return {
            "position": self._position,
            "batch_size": self._batch_size,
            "seed": self._seed,
            "drawn": 0,
            "damaged": [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken.

        Raises:
            InputError: a state of another seed, or one that does not fall between two batches.
        """
        self._position = go_on(state, self._seed, self._batch_size)

    def close(self) -> None:
        """Lets the drawing thread end."""
        self._thread.shutdown(cancel_futures=True)

    @property
    def _units(self) -> int:
        """Examples of one epoch: pictures, or people."""
        return self.source.people if self._targets else len(self.source)

    def _batch(self, position: int) -> tuple[Any, dict[str, Any]]:
        """This host's rows of batch `position`, and their pictures' numbers [rows] or [rows k]."""
        start = position * self._batch_size + self._first
        examples = range(start, start + self._rows)
        numbers = np.array([self._numbers(example) for example in examples], np.int32)
        flat = numbers.reshape(-1)
        fields = self._draw(flat) if self._kept is None else self._remembered(flat)
        if self._targets:
            person = fields.pop("person").reshape(numbers.shape)[:, 0]
            fields = {
                n: value.reshape(*numbers.shape, *value.shape[1:]) for n, value in fields.items()
            }
            fields["person"] = person
        return numbers, fields

    def _numbers(self, example: int) -> Any:
        """The picture, or the group, of an example."""
        epoch, place = divmod(example, self._units)
        unit = place
        if self._kept is not None or self._targets:
            if self._order[0] != epoch:
                shuffle = np.random.default_rng([self._seed, epoch])
                self._order = epoch, shuffle.permutation(self._units)
            unit = int(self._order[1][place])
        if not self._targets:
            return (unit + self._seed * 7919) % len(self.source)
        views, dice = self.source.views, np.random.default_rng([self._seed, 1, example])
        chosen = dice.choice(views, 1 + self._targets, replace=False, shuffle=True)
        return self.source.number(unit, chosen)

    def _draw(self, numbers: Int[np.ndarray, " b"]) -> dict[str, Array]:
        return draw_fields(self.source, self._plan, self._tables, jnp.asarray(numbers))

    def _remembered(self, numbers: Int[np.ndarray, " b"]) -> dict[str, Any]:
        """Kept pictures; those that are missing are drawn first, in batches of one size."""
        kept = self._kept
        assert kept is not None
        missing = np.array(sorted({int(n) for n in numbers if int(n) not in kept}), np.int32)
        if len(missing):
            filled = np.resize(missing, len(numbers))
            made = jax.tree.map(np.asarray, self._draw(filled))
            for row, number in enumerate(missing.tolist()):
                kept[number] = {name: value[row] for name, value in made.items()}
        rows = [kept[int(number)] for number in numbers]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
