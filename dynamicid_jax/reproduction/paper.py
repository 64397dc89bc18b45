"""The paper's numbers beside measured ones: docs/FIRST_REAL_RUN.md's table.

The paper's metrics come without definitions (METHOD section 8); ours are docs/EVALUATION.md's. So columns are read for
their order and their signs, not digit by digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamicid_jax.evaluation.written import Written, with_interval

BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"
SUITES = ("single", "multi", "edit")
WHO = ("published", "trained")
"""Whose models are measured: the published checkpoint, and one trained here from the same base."""

Results = Mapping[str, Mapping[str, Mapping[str, Written]]]  # by who, suite, name


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        suite: whose results have it.
        name: of the measure in them.
        title: for the table.
        full: the paper's full model; None where it has no such number.
        without_saa: the paper's number without SAA, where it has one.
        without_imr: likewise without IMR.
    """

    suite: str
    name: str
    title: str
    full: float | None = None
    without_saa: float | None = None
    without_imr: float | None = None


# The paper's numbers are those of METHOD section 8: of one person for the full model, without SAA and without IMR; of
# several people for the full model alone.
LINES = (
    Line("single", "single_clip_t", "one person: CLIP-T", 0.239, 0.224, 0.228),
    Line("single", "single_face_sim", "one person: FaceSim", 0.671, 0.682, 0.712),
    Line("single", "single_expr", "one person: Expr", 0.456, 0.422, 0.161),
    Line("single", "single_pose", "one person: Pose", 0.878, 0.862, 0.253),
    Line("single", "single_copy_paste", "one person: copy-paste"),
    Line("multi", "two_clip_t", "two people: CLIP-T", 0.237),
    Line("multi", "two_face_sim", "two people: FaceSim", 0.664),
    Line("multi", "two_expr", "two people: Expr", 0.431),
    Line("multi", "two_pose", "two people: Pose", 0.867),
    Line("multi", "two_identity_confusion", "two people: identity confusion"),
    Line("multi", "three_face_sim", "three people: FaceSim"),
    Line("multi", "three_expr", "three people: Expr"),
    Line("multi", "three_pose", "three people: Pose"),
    Line("edit", "edited_expr", "edited: Expr"),
    Line("edit", "said_expr", "asked in the prompt alone: Expr"),
    Line("edit", "edited_expr_over_said", "edited less asked: Expr"),
    Line("edit", "both_expr", "edited and asked in the prompt: Expr"),
    Line("edit", "both_expr_over_said", "edited and asked less asked: Expr"),
    Line("edit", "edited_pose", "edited: Pose"),
    Line("edit", "said_pose", "asked in the prompt alone: Pose"),
    Line("edit", "edited_pose_over_said", "edited less asked: Pose"),
    Line("edit", "both_pose", "edited and asked in the prompt: Pose"),
    Line("edit", "both_pose_over_said", "edited and asked less asked: Pose"),
)
HEAD = (
    "measure",
    "paper, full",
    "paper, without SAA",
    "paper, without IMR",
    "published checkpoint",
    "trained here",
)
READING = (
    "The paper published no definitions of its metrics; ours are in EVALUATION.md. So compare order and signs rather "
    "than digits:\nwhat IMR and SAA are for shows in the differences. Empty: nobody has run it yet, or the paper has "
    "no number."
)
"""How the table is to be read."""
ABLATIONS = ("without_saa", "without_imr")


def published_differences() -> dict[str, dict[str, float]]:
    """By row of ABLATIONS and measure, the paper's number less that of its full model: its sign is what to expect."""
    return {
        row: {
            line.name: round(value - line.full, 3)
            for line in LINES
            if line.full is not None and (value := getattr(line, row)) is not None
        }
        for row in ABLATIONS
    }


def comparison(results: Results) -> str:
    """The table between its marks; cells of what was not run are empty.

    Args:
        results: claims of results.json, by who and suite.
    """
    rows = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for line in LINES:
        measured = [
            with_interval(results.get(who, {}).get(line.suite, {}).get(line.name)) for who in WHO
        ]
        paper = (line.full, line.without_saa, line.without_imr)
        cells = [line.title, *map(_number, paper), *measured]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([BEGIN, "", *rows, "", END])


def fill(page: str, table: str) -> str:
    """A page whose table between the marks is replaced; without marks it stays as it is."""
    before, begins, rest = page.partition(BEGIN)
    _, ends, after = rest.partition(END)
    return before + table + after if begins and ends else page


def measured_rows(results: Results) -> Sequence[str]:
    """Titles of rows in which somebody has a number."""
    return [
        line.title
        for line in LINES
        if any(
            with_interval(results.get(who, {}).get(line.suite, {}).get(line.name)) for who in WHO
        )
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
