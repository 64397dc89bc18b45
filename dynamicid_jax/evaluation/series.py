"""The pictures of one kind as a suite's file says them: people, prompts, seeds, boxes, asked motions.

Picture a of person n (a = 0 ... asks - 1) takes number j = n * asks + a:

    prompt       prompts[j mod their number]
    expression   of the person at place k: expressions[(j + 3 k) mod their number]; likewise the pose
    noise        1000 n + 100 a + seed, for every seed

so that 35 pictures go through every pair of seven expressions and five poses. Everything else (who the others are, the
reference, where heads stand) follows from the person's number and the kind's dice, which kinds may share (`like`).
"""

from dataclasses import dataclass, replace
from typing import Literal

from dynamicid_jax.evaluation.casts import Ask, Cast, Motion
from dynamicid_jax.evaluation.contents import face_words
from dynamicid_jax.evaluation.mini_series import SERIES
from dynamicid_jax.evaluation.photographs import Photo
from dynamicid_jax.evaluation.shots import Series, Shot, Subject, dice_of
from dynamicid_jax.types import Box
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

ALONE = (
    "_without_people"  # ends the kind of pictures that are drawn beside, without anybody's photo
)
How = Literal["edit", "edit if able", "edit and prompt", "prompt", "reference"]


@dataclass(frozen=True)
class Pictures:
    """One kind.

    Attributes:
        series: the name of a coded series of the mini suite; everything else is then in the code (mini_series.py).
        at_most: of the suite's people, so many of the first ones; 0: all of them.
        people: how many in a picture.
        asks: pictures per person and seed, each with the next prompt and motion.
        seeds: of the noise.
        motion: how expressions and poses are asked for: "edit" (face words, by IMR), "edit if able" (only of models
            with an IMR; others get the reference as it is), "prompt" (in words), "edit and prompt" (both), "reference"
            (not at all).
        expressions: that are asked for, in turn; () asks for none.
        poses: likewise.
        boxes: one for everybody, x0, y0, x1, y1; () gives none.
        layout_strength: None: the run's.
        like: the kind whose dice, and so whose people, references and noise, these pictures share; "" their own.
        without_people: whether every picture is also drawn from its prompt and noise alone.
        gates: whether gate maps are kept.
    """

    series: str = ""
    at_most: int = 0
    people: int = 1
    asks: int = 1
    seeds: tuple[int, ...] = (0,)
    motion: How = "reference"
    expressions: tuple[str, ...] = EXPRESSIONS
    poses: tuple[str, ...] = POSES
    boxes: tuple[Box, ...] = ()
    layout_strength: float | None = None
    like: str = ""
    without_people: bool = False
    gates: bool = False

    def maker(self, kind: str, cast: Cast, can_edit: bool) -> Series:
        """Makes the shots of a person.

        Args:
            kind: the pictures' name in the suite.
            cast: who is in them.
            can_edit: whether the model has an IMR.
        """
        if self.series:
            return SERIES[self.series]
        edits = self.needs_edits or (self.motion == "edit if able" and can_edit)
        return _Maker(kind, self, cast, edits)

    def of(self, who: range) -> range:
        """Who of an evaluation's people is drawn."""
        return who[: self.at_most or None]

    @property
    def needs_edits(self) -> bool:
        """Whether a model without IMR cannot draw them."""
        return self.motion in ("edit", "edit and prompt") or self.series in ("imr", "edits")


@dataclass(frozen=True)
class _Maker:
    kind: str
    plan: Pictures
    cast: Cast
    edits: bool

    def __call__(self, number: int) -> list[Shot]:
        plan, dice = self.plan, dice_of(self.plan.like or self.kind, number)
        people = self.cast.together(number, plan.people)
        references = [self.cast.reference(person, dice) for person in people]
        photos = tuple(photo for photo, _ in references)
        seeds = [int(seed) for seed in dice.integers(2**30, size=plan.asks)]
        says, shots = plan.motion in ("prompt", "edit and prompt"), []
        for ask, seed in enumerate(seeds):
            step = number * plan.asks + ask
            asked = tuple(self._motion(step + 3 * place) for place in range(len(people)))
            shows = self.cast.shown(Ask(people, photos, asked, step, seed, says))
            subjects = tuple(
                self._subject(place, *references[place], asked[place])
                for place in range(len(people))
            )
            shot = Shot(self.kind, number, shows, subjects, says_motion=says)
            shots += self._with_seeds(shot, ask)
        return shots

    def _motion(self, step: int) -> Motion:
        if self.plan.motion == "reference":
            return None, None
        expressions, poses = self.plan.expressions, self.plan.poses
        return (
            EXPRESSIONS.index(expressions[step % len(expressions)]) if expressions else None,
            POSES.index(poses[step % len(poses)]) if poses else None,
        )

    def _subject(self, place: int, photo: Photo, shows: str | None, asked: Motion) -> Subject:
        words = face_words(*asked) if self.edits else ""
        box = self.plan.boxes[place] if self.plan.boxes else None
        return Subject(((photo, 1.0),), words or None, None, shows if words else None, box)

    def _with_seeds(self, shot: Shot, ask: int) -> list[Shot]:
        """The shot with every seed, and without people where that is asked for."""
        plan, made = self.plan, []
        for row, seed in enumerate(plan.seeds):
            variant = ask * len(plan.seeds) + row
            one = replace(
                shot,
                variant=variant,
                noise=ask * 100 + seed,
                layout_strength=plan.layout_strength,
                keep_gates=plan.gates,
            )
            made.append(one)
            if plan.without_people:
                alone = replace(one, kind=self.kind + ALONE, subjects=(), keep_gates=False)
                made.append(replace(alone, has_truth=False))
        return made
