"""What a text file says about a picture: a caption, a face in METHOD's words, or both."""

import re
from dataclasses import dataclass, field

from dynamicid_jax.data.prepare.layouts import POSES
from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.pose import Pose
from dynamicid_jax.faces.prompts import (
    EXPRESSIONS,
    Expression,
    FaceWords,
    View,
    of_pose,
    parse_face_words,
)

_FACE_LINE = re.compile(r"^\s*face\s*:(.*)$", re.IGNORECASE | re.MULTILINE)
_WORDING = re.compile(
    r"in an? \w+ expression, (?:facing (?:up|down), )?in (?:front|side|(?:half|full) (?:left|right)) view",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Said:
    """A text, understood.

    Attributes:
        caption: free words; "" where there are none.
        words: what it says about the face.
    """

    caption: str = ""
    words: FaceWords = field(default_factory=FaceWords)


@dataclass(frozen=True)
class Described:
    """A face in words, and where its expression comes from ("grid", "judge", "text" or "none")."""

    prompt: str = ""
    expression: str = ""
    source: str = "none"


def understand(text: str, name: str) -> Said:
    """Reads a text file.

    A line "face: happy, side view" gives face words. Without one, a text of nothing but face words is taken as such,
    and everything else is a caption, in which METHOD's own wording is still found.

    Raises:
        InputError: a "face:" line with unknown words.
    """
    lines = _FACE_LINE.findall(text)
    caption = " ".join(_FACE_LINE.sub("", text).split())
    if lines:
        try:
            return Said(caption, parse_face_words(", ".join(lines)))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    if not caption:
        return Said()
    try:
        return Said("", parse_face_words(caption))
    except InputError:
        pass  # not only face words: a caption
    wording = _WORDING.search(caption)
    try:
        return Said(caption, parse_face_words(wording.group()) if wording else FaceWords())
    except InputError:  # "in a strange expression, in front view"
        return Said(caption)


def describe(said: Said, pose: Pose | None, judged: Expression | None, cell: int) -> Described:
    """The face prompt: the grid's words, else the judge's expression, else the text's, else neutral.

    What a text says about the pose is kept; what it leaves unsaid is measured.
    """
    if cell >= 0:
        expression = EXPRESSIONS[cell // len(POSES)]
        view: View = POSES[cell % len(POSES)].replace("_", " ")  # type: ignore[assignment]
        return Described(FaceWords(expression, "level", view).prompt(), expression, "grid")
    known = judged or said.words.expression
    source = "judge" if judged else "text" if known else "none"
    yaw, pitch = (pose.yaw, pose.pitch) if pose else (0.0, 0.0)
    measured = of_pose(known or "neutral", yaw, pitch)
    words = FaceWords(known, said.words.facing, said.words.view).complete(measured)
    return Described(words.prompt(), known or "", source)
