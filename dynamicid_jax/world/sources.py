"""Pictures for training without files: a picture is a number, and the number is the picture.

    source            a picture                                            its number
    world/portraits   one person, any expression and pose                  person + people * view
    world/scenes      1 to 3 different people                              any
    world/variface    one person in one cell of the 7 x 5 studio grid      35 * person + cell

A person's 35 cells are one sitting: the same shirt, background, light and place, so that they differ by motion alone.

`Source.scenes` takes numbers to factors and `Source.batch` to pictures with their ground truth; both
are pure functions for jit, so that pictures can be drawn where they are trained on. On the host a
source is a random-access sequence of PictureRecords, as the loader reads them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from dynamicid_jax.data.record import PictureRecord, pack_raster
from dynamicid_jax.errors import InputError
from dynamicid_jax.world.captions import caption, face_words, phrase_ids
from dynamicid_jax.world.factors import SPLIT_SIZE, SPLITS, person_number, row, seed_of
from dynamicid_jax.world.motion import CELLS, EXPRESSIONS, POSES, motion
from dynamicid_jax.world.png import png
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.scene import MAX_PEOPLE, Scene, draw_scene, scene
from dynamicid_jax.world.truth import raster, truth

KINDS = ("world/portraits", "world/scenes", "world/variface")
LICENCE = "made by dynamicid-jax's world; nobody's likeness"


@dataclass(frozen=True)
class Source:
    """One endless kind of picture.

    Attributes:
        kind: of KINDS.
        split: whose people (factors.SPLITS); splits share nobody.
        people: how many different ones, the first of the split.
        pictures: length of the source as a sequence; world/variface has 35 per person instead.
        first: how many people of the split are passed over.
        size: of pictures made for records, in pixels.
        counts: how often 1, 2, 3 people are drawn in world/scenes, as whole numbers.
    """

    kind: str
    split: str = "train"
    people: int = 2**20
    pictures: int = 2**20
    size: int = 64
    counts: tuple[int, ...] = (2, 2, 1)
    first: int = 0

    def __post_init__(self) -> None:
        """Checks the request.

        Raises:
            InputError: no such kind or split, or a number out of range.
        """
        if self.kind not in KINDS:
            raise InputError(f"source {self.kind!r}: expected one of {', '.join(KINDS)}")
        if self.split not in SPLITS:
            raise InputError(f"split {self.split!r}: expected one of {', '.join(SPLITS)}")
        least = MAX_PEOPLE if self.kind == "world/scenes" else 1
        if not least <= self.people <= SPLIT_SIZE - self.first:
            raise InputError(
                f"people: expected {least} to {SPLIT_SIZE - self.first}, got {self.people}"
            )
        if not 1 <= len(self.counts) <= MAX_PEOPLE or sum(self.counts) < 1 or min(self.counts) < 0:
            raise InputError(f"counts: expected 1 to {MAX_PEOPLE} weights, got {self.counts}")

    def __len__(self) -> int:
        """Number of pictures."""
        return self.people * CELLS if self.kind == "world/variface" else self.pictures

    @property
    def views(self) -> int:
        """Pictures of each person; 0 in world/scenes, whose pictures belong to nobody in particular."""
        if self.kind == "world/scenes":
            return 0
        return CELLS if self.kind == "world/variface" else self.pictures // self.people

    def number(self, person: Any, view: Any) -> Any:
        """The number of a person's picture: `person` of `people`, `view` of `views`; whole numbers or arrays."""
        if self.kind == "world/variface":
            return person * CELLS + view
        return person + self.people * view

    @property
    def places(self) -> int:
        """P of the scenes."""
        return len(self.counts) if self.kind == "world/scenes" else 1

    def scenes(self, index: Int[Array, "b"]) -> Scene:
        """The factors of pictures (leaves [b ...]); for jit."""
        seed = seed_of(index, f"{self.kind}/{self.split}", 0).astype(jnp.int32)
        if self.kind == "world/scenes":
            return draw_scene(
                seed,
                self.split,
                people=self.people,
                places=self.places,
                weights=self.counts,
                first=self.first,
            )
        own = seed_of(seed[:, None], "move", 0)
        one = jnp.ones_like(seed)
        if self.kind == "world/portraits":
            who = person_number(self.split, self.first + index % self.people)
            return scene(seed, who[:, None], one, motion(own), roam=True)
        person, cell = index // CELLS, (index % CELLS)[:, None]
        move = motion(own, cell // len(POSES), cell % len(POSES), jnp.zeros_like(cell))
        who = person_number(self.split, self.first + person)
        sitting = seed_of(who, f"{self.kind}/{self.split}", 1).astype(jnp.int32)
        return scene(sitting, who[:, None], one, move)

    def batch(self, index: Int[Array, "b"], size: int | None = None) -> dict[str, Any]:
        """Pictures with everything known about them; for jit.

        Returns:
            pixels uint8 [b h w 3], scene (Scene), truth (Truth), phrases int32 [b l] (captions.py),
            raster int8 [b 96 96] (of the first person's landmarks).
        """
        facts = self.facts(index)
        return {"pixels": to_bytes(render_many(facts["scene"], size or self.size)), **facts}

    def facts(self, index: Int[Array, "b"]) -> dict[str, Any]:
        """What `batch` returns, but for the pixels."""
        scenes = self.scenes(index)
        found = jax.vmap(truth)(scenes)
        return {
            "scene": scenes,
            "truth": found,
            "phrases": jax.vmap(phrase_ids)(scenes),
            "raster": jax.vmap(raster)(found.landmarks[:, 0]),
        }

    def __getitem__(self, index: int) -> PictureRecord:
        """One picture as the loader reads it; see `records` for many."""
        return self.records([index])[0]

    def records(
        self, indices: list[int], pixels: UInt8[np.ndarray, "b h w 3"] | None = None
    ) -> list[PictureRecord]:
        """Pictures as records.

        Args:
            indices: their numbers.
            pixels: the pictures, where they are drawn already; None renders them together.

        Raises:
            IndexError: a number beyond the end.
        """
        for index in indices:
            if not -len(self) <= index < len(self):
                raise IndexError(f"{self.kind}: picture {index} of {len(self)}")
        wanted = np.array([index % len(self) for index in indices], np.int32)
        numbers = jnp.asarray(wanted)
        made = _batch(self, numbers) if pixels is None else _facts(self, numbers)
        found = jax.tree.map(np.asarray, {"pixels": pixels, **made})
        return [
            self._record(int(index), jax.tree.map(partial(_at, i), found))
            for i, index in enumerate(wanted)
        ]

    def _record(self, index: int, found: dict[str, Any]) -> PictureRecord:
        one: Scene = found["scene"]
        alone = self.kind != "world/scenes"
        move, what = row(one.move, 0), found["truth"]
        number = int(one.who.person[0])
        person = f"{self.split}-{number % SPLIT_SIZE:06d}" if alone else ""
        yaw, pitch, roll = what.pose[0].tolist() if alone else [float("nan")] * 3
        bits = found["raster"] if alone else np.full_like(found["raster"], -1)
        return PictureRecord(
            key=f"{person or self.kind.split('/')[1]}/{index:09d}",
            person=person,
            picture=png(found["pixels"]),
            width=self.size,
            height=self.size,
            caption=caption(found["phrases"]),
            face_prompt=face_words(move).prompt() if alone else "",
            expression=EXPRESSIONS[int(move.expression)] if alone else "",
            expression_source="grid" if alone else "none",
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            pose_source="grid" if alone else "",
            face_box=what.box[0].clip(0, 1) if alone else np.zeros(4, np.float32),
            raster=pack_raster(bits.astype(np.float32)),
            embedding=np.zeros(0, np.float32),
            studio_cell=index % CELLS if self.kind == "world/variface" else -1,
            licence=LICENCE,
            consent="not needed: a made-up person",
        )


def _at(i: int, leaf: np.ndarray) -> Any:
    return leaf[i]


@partial(jax.jit, static_argnums=0)
def _batch(source: Source, index: Int[Array, "b"]) -> dict[str, Any]:
    return source.batch(index)


@partial(jax.jit, static_argnums=0)
def _facts(source: Source, index: Int[Array, "b"]) -> dict[str, Any]:
    return source.facts(index)
