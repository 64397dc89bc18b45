"""What a look at everything found: check.md, and the one line that stops a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from dynamicid_jax.errors import DynamicIDError, MissingPartError, one_line
from dynamicid_jax.reproduction.sources import Source

Need = Literal["run", "edits", "training"]


@dataclass(frozen=True)
class Finding:
    """One thing that is needed.

    Attributes:
        what: its name.
        option: by which it is given.
        found: where it is; "" where it is missing.
        problem: what is wrong; "" where it is there.
        sources: where it is found; () where nobody else can know.
        need: what is not possible without it: any run, the editing of people (some numbers stay empty), or training.
    """

    what: str
    option: str
    found: str
    problem: str
    sources: tuple[Source, ...] = ()
    need: Need = "run"


def problem_of(look: Callable[[], object]) -> str:
    """What a look at something raises, in one line; "" where all is well."""
    try:
        look()
    except DynamicIDError as error:
        return one_line(error)
    return ""


def can_edit(findings: Sequence[Finding]) -> bool:
    """Whether expressions and poses can be edited."""
    return not any(one.problem for one in findings if one.need == "edits")


def refuse_missing(findings: Sequence[Finding], training: bool = False) -> None:
    """Stops where something is missing without which nothing can be run.

    Args:
        findings: all of them.
        training: whether what training needs counts, too.

    Raises:
        MissingPartError: names all of it.
    """
    needs = ("run", "training") if training else ("run",)
    missing = [one for one in findings if one.problem and one.need in needs]
    if missing:
        named = "; ".join(f"{one.what} ({one.option}): {one.problem}" for one in missing)
        things = "1 thing is" if len(missing) == 1 else f"{len(missing)} things are"
        raise MissingPartError(
            f"reproduce: {things} missing or unusable, check.md says where each is found. {named}"
        )


def page(findings: Sequence[Finding]) -> str:
    """check.md: what is there, and of what is missing or limited where it is found."""
    lines = ["# What is there", "", "| what | option | state |", "|---|---|---|"]
    for one in findings:
        state = f"**{_STATES[one.need]}**: {one.problem}" if one.problem else "there"
        lines.append(f"| {one.what} | `{one.option}` | {state.replace('|', '/')} |")
    wanted = dict.fromkeys(one.sources for one in findings if one.problem and one.sources)
    for some in wanted:
        names = dict.fromkeys(one.what for one in findings if one.sources == some and one.problem)
        lines += ["", f"## Where to find: {', '.join(names)}", "", *table(some)]
    return "\n".join(lines) + "\n"


_STATES = {"run": "missing", "edits": "limited", "training": "missing for training"}


def table(some: Sequence[Source]) -> list[str]:
    """Places and licences, as lines of Markdown."""
    rows = [f"| {one.name} | {one.where} | {one.licence} | {one.note} |" for one in some]
    return ["| what | where | licence, as stated there | note |", "|---|---|---|---|", *rows]
