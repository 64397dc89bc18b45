"""What a suite measures and what is asked of it: values only.

A claim names the series it draws and the measure it takes; a requirement is one line of the table: what has to hold on
two cores, with a GPU, and as the goal. `None` asks for nothing: the number is reported.
"""

from dataclasses import dataclass

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation import measures
from dynamicid_jax.evaluation.estimates import Estimate
from dynamicid_jax.evaluation.measures import Measure
from dynamicid_jax.evaluation.mini_series import SERIES
from dynamicid_jax.evaluation.shots import Series, Shot


@dataclass(frozen=True)
class Bound:
    """At least or at most; an interval that is `clear` must lie on the right side as a whole."""

    least: float | None = None
    most: float | None = None
    clear: bool = False

    def holds(self, found: Estimate) -> bool:
        """Whether an estimate keeps to it."""
        low, high = (found.low, found.high) if self.clear else (found.value, found.value)
        above = self.least is None or low >= self.least
        return above and (self.most is None or high <= self.most)

    def words(self) -> str:
        """For tables."""
        sign, value = (">=", self.least) if self.least is not None else ("<=", self.most)
        return f"{sign} {value:g}" + (", interval clear" if self.clear else "")


Bounds = tuple[Bound | None, Bound | None, Bound | None]


@dataclass(frozen=True)
class Requirement:
    """One line of the table.

    Attributes:
        title: what is measured.
        bounds: the floor on two cores, the floor with a GPU, the goal.
        of_ceiling: bounds hold for the share of what the judges reach on the drawn truth.
    """

    title: str
    bounds: Bounds = (None, None, None)
    of_ceiling: bool = False


@dataclass(frozen=True)
class Claim:
    """What is drawn and measured together; `series` name entries of the suite's."""

    series: tuple[str, ...]
    measure: Measure


def _least(cpu: float | None, gpu: float | None, goal: float | None) -> Bounds:
    one, two, three = (None if least is None else Bound(least) for least in (cpu, gpu, goal))
    return one, two, three


def _most(cpu: float | None, gpu: float | None, goal: float | None) -> Bounds:
    one, two, three = (None if most is None else Bound(most=most) for most in (cpu, gpu, goal))
    return one, two, three


_SCENE = _least(0.95, 0.97, 0.99)
MINI_REQUIREMENTS: dict[str, Requirement] = {
    "base_background": Requirement("base: background as asked", _SCENE, of_ceiling=True),
    "base_shirt": Requirement("base: shirts as asked", _SCENE, of_ceiling=True),
    "base_count": Requirement("base: number of people as asked", _SCENE, of_ceiling=True),
    "base_expression": Requirement("base: expression as asked", _least(None, 0.50, 0.85)),
    "base_pose": Requirement("base: pose as asked", _least(None, 0.75, 0.90)),
    "base_expression_several": Requirement("base, two or three people: expression as asked"),
    "base_pose_several": Requirement("base, two or three people: pose as asked"),
    "one_rank_1": Requirement("one person: rank-1 among 50", _least(0.35, 0.70, 0.95)),
    "one_top_5": Requirement("one person: top-5 among 50", _least(0.70, 0.90, 1.0)),
    "one_face_sim": Requirement("one person: FaceSim"),
    "one_found": Requirement("one person: face found"),
    "two_both_right": Requirement("two people with boxes: both right", _least(0.10, 0.45, 0.85)),
    "two_swapped": Requirement("two people with boxes: swapped", _most(0.05, 0.02, 0.0)),
    "two_person_right": Requirement("two people with boxes: each person right"),
    "three_all_right": Requirement("three people with boxes: all right", _least(None, 0.25, 0.70)),
    "three_person_right": Requirement("three people with boxes: each person right"),
    "apart_with_boxes": Requirement("similarity of the two faces, with boxes", _most(0.15, 0.10, 0.05)),
    "apart_without_boxes": Requirement("similarity of the two faces, without boxes", _least(0.40, None, None)),
    "free_both_found": Requirement("without boxes: both faces found"),
    "gate_auc": Requirement("gate AUC, middle and up blocks", _least(0.85, 0.92, 0.95)),
    "context_psnr": Requirement("context: PSNR outside the faces, scale 0 against 1 (dB)"),
    "context_psnr_without_gate": Requirement("context: the same, trained without gate (dB)"),
    "context_gain": Requirement(
        "context: less change than trained without gate (dB)",
        (Bound(least=0.0, clear=True), Bound(3.0), Bound(6.0)),
    ),
    "imr_expression_right": Requirement("IMR: asked expression right", _least(None, None, 0.85)),
    "said_expression_right": Requirement("the same by the prompt's words alone"),
    "imr_expression_over_words": Requirement("IMR: expression, over words alone", _least(None, 0.10, None)),
    "imr_pose_right": Requirement("IMR: asked pose right (pose photo and words)", _least(None, 0.70, 0.90)),
    "imr_pose_words_right": Requirement("IMR: asked pose right (face words)"),
    "said_pose_right": Requirement("the same by the prompt's words alone"),
    "imr_pose_over_words": Requirement("IMR: pose, over words alone"),
    "imr_pose_words_over_words": Requirement("IMR: pose by face words, over words alone"),
    "imr_plain_rank_1": Requirement("IMR: rank-1 unedited"),
    "imr_edited_rank_1": Requirement("IMR: rank-1 edited"),
    "imr_rank_1_kept": Requirement("IMR: rank-1 kept, of unedited", _least(None, 0.80, 0.95)),
    "imr_token_error": Requirement("IMR: token error, of copying", _most(0.85, None, None)),
    "edits_both_right": Requirement("two people edited: both expressions right", _least(None, 0.30, 0.70)),
    "edits_person_right": Requirement("two people edited: each expression right"),
    "edits_both_known": Requirement("two people edited: both the nearest of 50"),
    "mix_1_rank_1": Requirement("mix at 1: rank-1 of the first"),
    "mix_0_rank_1": Requirement("mix at 0: rank-1 of the second"),
    "mix_half_first": Requirement("mix at 0.5: FaceSim to the first"),
    "mix_half_second": Requirement("mix at 0.5: FaceSim to the second"),
    "mix_half_difference": Requirement("mix at 0.5: difference of the two means", _most(0.10, 0.05, 0.02)),
    "mix_half_spread": Requirement("mix at 0.5: mean difference within a picture"),
}  # fmt: skip
MINI_CLAIMS: dict[str, Claim] = {
    "base": Claim(("base",), measures.base),
    "one": Claim(("one",), measures.one),
    "two": Claim(("two",), measures.two),
    "three": Claim(("three",), measures.three),
    "free": Claim(("free",), measures.free),
    "gate": Claim(("one",), measures.gate),
    "context": Claim(("one", "context"), measures.context),
    "imr": Claim(("imr",), measures.imr),
    "edits": Claim(("edits",), measures.edits),
    "mix": Claim(("mix",), measures.mix),
}


@dataclass(frozen=True)
class Suite:
    """Claims by name with what is asked of them, and the series of pictures that they draw from."""

    name: str
    series: dict[str, Series]
    claims: dict[str, Claim]
    requirements: dict[str, Requirement]

    def chosen(self, names: str | None) -> dict[str, Claim]:
        """The claims in a list of names parted by commas; all for None.

        Raises:
            InputError: an unknown name.
        """
        if names is None:
            return dict(self.claims)
        asked = [name.strip() for name in names.split(",") if name.strip()]
        unknown = [name for name in asked if name not in self.claims]
        if unknown or not asked:
            raise InputError(f"--claims {names!r}: expected some of {', '.join(self.claims)}")
        return {name: claim for name, claim in self.claims.items() if name in asked}

    def shots(self, claims: dict[str, Claim], people: int) -> list[Shot]:
        """All pictures that some of the claims need for the first people, each once."""
        names = dict.fromkeys(name for claim in claims.values() for name in claim.series)
        return [
            shot for name in names for number in range(people) for shot in self.series[name](number)
        ]


SUITES: dict[str, Suite] = {"mini": Suite("mini", SERIES, MINI_CLAIMS, MINI_REQUIREMENTS)}
