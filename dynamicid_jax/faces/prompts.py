"""Expression and pose in words: the face prompt that IMR is trained on (METHOD section 4).

The published wording is

    in a E expression, [facing up, |facing down, ]in front view|in side view

It cannot tell left from right; our own vocabulary adds the poses of the studio grid as views: "in
full left view", "in half left view", "in half right view", "in full right view" beside the front.
Left and right are the picture's: in "half left" the nose points to the picture's left edge.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.record import FaceRecord

Expression = Literal["happy", "surprise", "sad", "anger", "disgust", "fear", "neutral"]
Facing = Literal["up", "down", "level"]
View = Literal["front", "side", "full left", "half left", "half right", "full right"]
EXPRESSIONS, FACINGS, VIEWS = (get_args(kind) for kind in (Expression, Facing, View))

FACE = "{face}"
"""In a prompt: the next person's face words."""
PITCH_LIMIT = 10.0  # degrees: beyond it the face looks up or down
YAW_LIMIT = 10.0  # degrees: below it a face is seen from the front

_MEANINGS: dict[tuple[str, str], str] = {  # (field, value): the words that say it
    ("expression", "happy"): "happy happiness smiling smile laughing joyful joy cheerful glad",
    ("expression", "surprise"): "surprise surprised astonished amazed",
    ("expression", "sad"): "sad sadness unhappy crying",
    ("expression", "anger"): "anger angry furious mad",
    ("expression", "disgust"): "disgust disgusted",
    ("expression", "fear"): "fear afraid scared fearful frightened",
    ("expression", "neutral"): "neutral calm expressionless",
    ("facing", "up"): "up upward upwards",
    ("facing", "down"): "down downward downwards",
    ("facing", "level"): "level",
    ("view", "front"): "front frontal",
    ("view", "side"): "side profile",
    ("view", "full left"): "full_left",
    ("view", "half left"): "half_left left",
    ("view", "half right"): "half_right right",
    ("view", "full right"): "full_right",
}
_WORDS = {word: meaning for meaning, words in _MEANINGS.items() for word in words.split()}
_FILLERS = "a an and the in with to of expression face facing looking turned view"
_VOCABULARY = (
    f"expressions {', '.join(EXPRESSIONS)}; facing up, facing down, facing level; front view, "
    "side view, full left, half left, half right, full right"
)


@dataclass(frozen=True)
class FaceWords:
    """What a face does, as far as it was said; None stands for unsaid.

    Attributes:
        expression: one of METHOD's seven.
        facing: "up", "down" or "level".
        view: from where the face is seen.
    """

    expression: Expression | None = None
    facing: Facing | None = None
    view: View | None = None

    @classmethod
    def measured(cls, record: FaceRecord, expression: Expression | None = None) -> "FaceWords":
        """The words for a photographed face; the pack sees no expression, so unsaid is neutral."""
        return of_pose(expression or "neutral", record.pose.yaw, record.pose.pitch)

    def complete(self, source: "FaceWords") -> "FaceWords":
        """What is unsaid here, taken from the source."""
        return FaceWords(
            expression=self.expression or source.expression,
            facing=self.facing or source.facing,
            view=self.view or source.view,
        )

    def prompt(self) -> str:
        """The face prompt in METHOD's wording.

        Raises:
            InputError: something is still unsaid.
        """
        if not (self.expression and self.facing and self.view):
            raise InputError(f"face words: expression, facing and view are all needed, got {self}")
        return ", ".join(self.phrases())

    def phrases(self) -> list[str]:
        """What is said, in METHOD's wording; of a level face nothing."""
        parts = [
            self.expression and f"in a {self.expression} expression",
            self.facing and self.facing != "level" and f"facing {self.facing}",
            self.view and f"in {self.view} view",
        ]
        return [part for part in parts if part]


def of_pose(expression: Expression, yaw: float, pitch: float) -> FaceWords:
    """The published rule from degrees to words (signs in faces/pose.py)."""
    facing: Facing = "level"
    if abs(pitch) > PITCH_LIMIT:
        facing = "up" if pitch > 0 else "down"
    return FaceWords(expression, facing, "front" if abs(yaw) < YAW_LIMIT else "side")


def face_prompt(expression: Expression, yaw: float, pitch: float) -> str:
    """The face prompt of METHOD section 4 for an expression and a pose in degrees."""
    return of_pose(expression, yaw, pitch).prompt()


def fill_faces(prompt: str, faces: Sequence[str | None]) -> str:
    """`{face}` in a prompt, one after the other, becomes the words of the next person; nothing where none are said.

    Args:
        prompt: such as "two people, {face}, and {face}, at the sea".
        faces: face words of the people, in their order; None: unedited.

    Raises:
        InputError: face words that `parse_face_words` refuses.
    """
    if FACE not in prompt:
        return prompt
    for face in faces:
        phrases = parse_face_words(face).phrases() if face else []
        prompt = prompt.replace(FACE, ", ".join(phrases), 1)
    prompt = prompt.replace(FACE, "")
    while ", ," in prompt:
        prompt = prompt.replace(", ,", ",")
    return prompt.strip().strip(",").strip()


def parse_face_words(text: str) -> FaceWords:
    """Reads "happy, side view", "surprised, facing up", "half left" or a whole face prompt.

    Case, commas and small words ("a", "looking", "expression", ...) do not matter. Left and right
    are the picture's; alone they mean half left and half right.

    Raises:
        InputError: an unknown word, two expressions, facings or views at once, or nothing said; the
            message lists the vocabulary.
    """
    joined = re.sub(r"\b(half|full)[\s-]+(left|right)\b", r"\1_\2", text.lower())
    said: dict[str, str] = {}
    for word in re.findall(r"\w+", joined):
        if word in _FILLERS.split():
            continue
        if word not in _WORDS:
            raise InputError(f"face words {text!r}: unknown word {word!r}; known are {_VOCABULARY}")
        field, value = _WORDS[word]
        if said.setdefault(field, value) != value:
            raise InputError(
                f"face words {text!r}: both {said[field]!r} and {value!r}; say one of them"
            )
    if not said:
        raise InputError(f"face words {text!r}: nothing said; known are {_VOCABULARY}")
    return FaceWords(**said)  # type: ignore[arg-type]  # the table's values are the literals
