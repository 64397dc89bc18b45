"""From a checked wish to pictures, by the one pipeline. Only the drawing thread (jobs.py) calls `draw`."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from dynamicid_jax.app.photos import Photo, look_at, new_id, png
from dynamicid_jax.app.recipes import as_command, as_python
from dynamicid_jax.app.wishes import PersonWish, Wish
from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.faces.prompts import EXPRESSIONS, VIEWS
from dynamicid_jax.faces.quality import Verdict
from dynamicid_jax.inference.gate_maps import mean_map, overlay
from dynamicid_jax.inference.layout import covered_cells
from dynamicid_jax.inference.motion_grid import motion_grid
from dynamicid_jax.inference.people import Person
from dynamicid_jax.inference.pipeline import DynamicIDPipeline, Output
from dynamicid_jax.inference.recipe import of_sheet
from dynamicid_jax.inference.request import size_step
from dynamicid_jax.packaged import photos as packaged_photos
from dynamicid_jax.provenance.consent import MADE_UP
from dynamicid_jax.provenance.png import png_bytes
from dynamicid_jax.types import Box

COLOURS = ("#e8590c", "#1971c2", "#2f9e44", "#9c36b5", "#c2255c", "#0c8599")
"""Of people, in their order: of their boxes on the page, and of their gate maps."""
POSES = ("full left", "half left", "front", "half right", "full right")
GRID_CELLS = len(EXPRESSIONS) * len(POSES)

USUAL: tuple[dict[str, Any], ...] = (
    {"people": 1, "boxes": True, "preview": True},  # people do not matter to a preview's program
    {"people": 2},
    {"people": 1},
    {"people": 0},
)
"""What visitors ask for most, at the model's own size and sampler: arguments of `DynamicIDPipeline.warm_up`."""

Tell = Callable[[int, int], None]
Show = Callable[[Image.Image], None]
Keep = Callable[["Picture"], None]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that was made.

    Attributes:
        data: PNG, with its recipe.
        recipe: everything that made it; empty for a grid's sheet.
        wish: the JSON that asked for it.
        boxes: of its people, where they have any.
        gate: mean gate map [h w] in [0, 1], or None.
        layout: how boxes were found, or None.
        texts: the recipe as "command" and as "python".
        id: its key.
    """

    data: bytes
    recipe: dict[str, Any]
    wish: dict[str, Any]
    boxes: tuple[Box | None, ...] = ()
    gate: Float[np.ndarray, "h w"] | None = None
    layout: dict[str, Any] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=new_id)

    @property
    def nbytes(self) -> int:
        """In memory, about."""
        return len(self.data) + (0 if self.gate is None else self.gate.nbytes)

    def to_json(self) -> dict[str, Any]:
        """What the page shows beside the picture itself."""
        return {
            "id": self.id,
            "wish": self.wish,
            "recipe": self.recipe,
            "layout": self.layout,
            "gates": 0 if self.gate is None else len(self.boxes),
            **self.texts,
        }

    def gate_picture(self, person: int | None) -> bytes:
        """The picture in grey, lit where the gate was open: for everybody, or in one person's box.

        The gate is one map for all people; whose features act in it is decided by the boxes.
        """
        assert self.gate is not None
        gate, colour = self.gate, COLOURS[0]
        if person is not None:
            colour = COLOURS[person % len(COLOURS)]
            if (box := self.boxes[person]) is not None:
                gate = gate * covered_cells(box, *gate.shape)
        with Image.open(io.BytesIO(self.data)) as image:
            return png(overlay(image.convert("RGB"), gate.astype(np.float32), colour))


class Studio:
    """The pipeline as the server uses it."""

    def __init__(
        self, pipe: DynamicIDPipeline, model: str, batch: int = 1, *, warm_up: bool = False
    ) -> None:
        """Takes a loaded pipeline.

        Args:
            pipe: with a face pack.
            model: as recipes' commands name it.
            batch: wishes of equal shape that are drawn in one compiled call.
            warm_up: whether usual programs are compiled before anybody asks.

        Raises:
            MissingPartError: the pipeline has no face pack, without which no photo can be read.
        """
        if pipe.face_pack is None:
            raise MissingPartError(
                "app: photos need a face pack; pass --face_pack FOLDER, or a model folder that has one"
            )
        self.pipe, self.model, self.batch, self._warm = pipe, model, batch, warm_up

    def settings(self) -> dict[str, Any]:
        """What the page fills its fields with."""
        own = self.pipe.config.sampling
        return {
            "model": self.pipe.name,
            "mini": self.model == "mini",
            "weights": self.pipe.config.weights,
            "width": own.width,
            "height": own.height,
            "size_step": size_step(self.pipe.config),
            "steps": own.steps,
            "sampler": own.sampler,
            "guidance_scale": own.guidance_scale,
            "editable": self.pipe.config.imr is not None,
            "expressions": EXPRESSIONS,
            "views": VIEWS,
            "colours": COLOURS,
        }

    def packaged(self) -> dict[str, Photo]:
        """The package's made-up people, by name."""
        found = {}
        for name, path in packaged_photos().items():
            photo = self.look_at(path.read_bytes(), name, max_pixels=2**22, made_up=True)
            if isinstance(photo, Photo):
                found[name] = photo
        return found

    def warm_ups(self) -> list[Callable[[], object]]:
        """Calls that compile what first visitors would wait for, the most usual first; none unless asked for."""
        if not self._warm:
            return []
        if self.pipe.config.adapter is None:
            return [partial(self.pipe.warm_up, preview=True)]
        return [self._warm_person, *[partial(self.pipe.warm_up, **usual) for usual in USUAL]]

    def _warm_person(self) -> None:
        """From a photo to an edited person."""
        face = None if self.pipe.config.imr is None else EXPRESSIONS[0]
        for path in list(packaged_photos().values())[:1]:
            self.pipe.person([path.read_bytes()], face=face)

    def look_at(
        self, data: bytes, name: str, *, max_pixels: int, made_up: bool = False
    ) -> Photo | Verdict:
        """See `photos.look_at`."""
        pack = self.pipe.face_pack
        assert pack is not None
        return look_at(
            data,
            name,
            pack,
            id_channels=self.pipe.config.id_channels,
            max_pixels=max_pixels,
            made_up=made_up,
        )

    def draw(
        self,
        wish: Wish,
        said: dict[str, Any],
        photos: Mapping[str, Photo],
        *,
        keep: Keep,
        tell: Tell = lambda done, total: None,
        show: Show = lambda image: None,
    ) -> None:
        """Makes what was wished.

        Args:
            wish: checked.
            said: the JSON that it came as, kept with the picture.
            photos: all that the wish names, by id.
            keep: is given every picture as it is done.
            tell: is told (steps done, steps); may raise to cancel.
            show: is given rough previews.
        """
        if wish.kind == "grid":
            keep(self._grid(wish, said, photos, tell, show))
            return
        people = [self._person(one, photos) for one in wish.people]
        for number in range(wish.pictures):
            call = self._call(wish, people, number)

            def told(done: int, steps: int, number: int = number) -> None:
                tell(number * steps + done, wish.pictures * steps)

            out = self.pipe(**call, progress=told, preview=show)
            keep(self._picture(out, {**said, "seed": call["seed"]}, photos, wish))

    def draw_together(
        self,
        wishes: Sequence[Wish],
        said: Sequence[dict[str, Any]],
        photos: Sequence[Mapping[str, Photo]],
    ) -> list[Picture]:
        """One picture for each of several wishes of equal shape, in one compiled call."""
        calls = [
            self._call(wish, [self._person(one, some) for one in wish.people], 0)
            for wish, some in zip(wishes, photos, strict=True)
        ]
        made = self.pipe.many(calls, rows=self.batch)
        rows = zip(made, said, photos, wishes, strict=True)
        return [self._picture(out, one, some, wish) for out, one, some, wish in rows]

    def _call(self, wish: Wish, people: Sequence[Person], number: int) -> dict[str, Any]:
        """Arguments of the pipeline's call for one of a wish's pictures."""
        options = wish.request.to_recipe()
        del options["num_images"]
        options["seed"] = (options["seed"] + number) % 2**32
        return {**options, "people": list(people)}

    def _person(self, wish: PersonWish, photos: Mapping[str, Photo]) -> Person:
        """A person, mixed if need be; what is said of their consent goes into the recipe."""
        pose = None if wish.pose is None else photos[wish.pose].data

        def one(keys: Sequence[str]) -> Person:
            return self.pipe.person(
                [photos[key].data for key in keys],
                face=wish.face,
                pose=pose,
                box=wish.place,
                strength=wish.strength,
            )

        person = one(wish.photos)
        if wish.mixed_with and wish.share > 0:
            parts = [(person, 1 - wish.share), (one(wish.mixed_with), wish.share)]
            person = self.pipe.mix(parts, wish.place, wish.strength)
        made_up = all(photos[key].made_up for key in wish.all_photos)
        consent = wish.consent or (MADE_UP if made_up else "")
        return replace(person, recipe={**person.recipe, "consent": consent}) if consent else person

    def _picture(
        self, out: Output, said: dict[str, Any], photos: Mapping[str, Photo], wish: Wish
    ) -> Picture:
        recipe = {**out.metadata["recipe"], "index": 0}
        names = [[photos[key].name for key in one.all_photos] for one in wish.people]
        boxes = tuple(
            None if not one["box"] or isinstance(one["box"], str) else tuple(one["box"])
            for one in recipe["people"]
        )
        return Picture(
            data=png_bytes(out.images[0], recipe),
            recipe=recipe,
            wish=said,
            boxes=boxes,
            gate=_mean_gate(out),
            layout=out.metadata.get("layout"),
            texts={
                "command": as_command(recipe, self.model, names),
                "python": as_python(recipe, self.model, names),
            },
        )

    def _grid(
        self,
        wish: Wish,
        said: dict[str, Any],
        photos: Mapping[str, Photo],
        tell: Tell,
        show: Show,
    ) -> Picture:
        """One person in all expressions and poses, at the same noise, on one sheet."""
        images: list[Image.Image] = []
        for expression in EXPRESSIONS:
            for pose in POSES:
                tell(len(images), GRID_CELLS)
                cell = replace(wish.people[0], face=f"{expression}, {pose}", pose=None)
                asked = replace(wish, people=(cell,))
                call = self._call(asked, [self._person(cell, photos)], 0)
                out = self.pipe(**call)
                images.append(out.images[0])
                show(images[-1])
        tell(GRID_CELLS, GRID_CELLS)
        first = photos[wish.people[0].photos[0]]
        with Image.open(io.BytesIO(first.crop)) as crop:
            sheet = motion_grid(images, crop.convert("RGB"), first.name, EXPRESSIONS, POSES)
        data = png_bytes(sheet, of_sheet(out.metadata["recipe"]))
        return Picture(data=data, recipe={}, wish=said)


def _mean_gate(out: Output) -> Float[np.ndarray, "h w"] | None:
    """The mean over layers at the finest map's size."""
    if not out.gate_maps:
        return None
    height, width = max((gate.shape[1:] for gate in out.gate_maps.values()), key=np.prod)
    return mean_map(out.gate_maps, 0, (width, height)).astype(np.float16)


def recipe_json(picture: Picture) -> bytes:
    """The recipe as a readable JSON file, which sample.py's --like reads."""
    return (json.dumps(picture.recipe, indent=2, ensure_ascii=False) + "\n").encode()
