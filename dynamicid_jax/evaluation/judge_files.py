"""What a suite says of its judges: files with their hashes, what each network is given, and what its outputs mean."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dynamicid_jax.errors import InputError
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

TURNS = (*POSES, "up", "down")
SYNONYMS = {"angry": "anger"}  # FER2013's word
MOST_FRAME = 100.0  # box sides


@dataclass(frozen=True)
class JudgeFile:
    """One network of a suite.

    Attributes:
        file: its path in the folder of judges.
        sha256: of the file; "" takes any (its hash is in the results all the same).
        input: channels, height, width.
        outputs: numbers per face, of the output that is read.
        output: which output, from 0.
        crop: how the face is cut out: "aligned", turned and scaled so that its five points lie as ArcFace has them, or
            "framed", a square around its box.
        frame: of "framed": the square's side in box sides.
        beyond: of "framed": what lies outside the picture (black in aligned faces).
        colour: the order of the channels, or grey.
        mean: subtracted from 0 to 255.
        std: divides what is left.
        classes: names of the outputs; () where they are an embedding or degrees.
        degrees: the outputs are yaw, pitch, roll; each with its sign to faces/pose.py's, such as (1, 1, 1).
    """

    file: str
    sha256: str
    input: tuple[int, int, int]
    outputs: int
    output: int = 0
    crop: Literal["aligned", "framed"] = "framed"
    frame: float = 1.0
    beyond: Literal["edge", "black"] = "edge"
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    mean: float = 127.5
    std: float = 127.5
    classes: tuple[str, ...] = ()
    degrees: tuple[int, ...] = ()

    @property
    def network(self) -> "JudgeFile":
        """What tells networks apart, whichever output is read."""
        return replace(self, output=0, outputs=0, classes=(), degrees=())


@dataclass(frozen=True)
class PlainFile:
    """A file with its hash: the detector, which insightface loads with the pack of its folder."""

    file: str
    sha256: str


@dataclass(frozen=True)
class ClipFiles:
    """A pair of networks in one space, for CLIP-T.

    Attributes:
        image: float32 [N, 3, size, size] to [N, e]; or the image_encoder.safetensors of a model folder.
        text: int64 or int32 [N, length] to [N, e]; or the text_encoder.safetensors beside it.
        tokenizer: folder of a transformers CLIP tokenizer, in the folder of judges.
        size: the picture's short side is scaled to it (bicubic), the middle cut out.
        length: token ids of a text; shorter ones are filled with the end-of-text token.
        means: of the three channels, in [0, 1].
        stds: likewise.
    """

    image: PlainFile
    text: PlainFile
    tokenizer: str
    size: int = 224
    length: int = 77
    means: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    stds: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class JudgeSet:
    """All judges of a suite.

    Attributes:
        detector: finds faces.
        recogniser: tells people; should not be the one that conditioned the model.
        expression: names expressions.
        pose: names poses.
        clip: of CLIP-T; None leaves CLIP-T out.
    """

    detector: PlainFile
    recogniser: JudgeFile
    expression: JudgeFile
    pose: JudgeFile
    clip: ClipFiles | None = None

    def unpinned(self) -> "JudgeSet":
        """The same judges of faces, whatever their files' hashes."""
        return replace(
            self,
            clip=None,
            detector=replace(self.detector, sha256=""),
            recogniser=replace(self.recogniser, sha256=""),
            expression=replace(self.expression, sha256=""),
            pose=replace(self.pose, sha256=""),
        )

    def files(self) -> dict[str, PlainFile | JudgeFile]:
        """By what they are for."""
        named: dict[str, PlainFile | JudgeFile] = {
            "detector": self.detector,
            "recogniser": self.recogniser,
            "expression": self.expression,
            "pose": self.pose,
        }
        return (
            named
            if self.clip is None
            else {**named, "clip image": self.clip.image, "clip text": self.clip.text}
        )


def contracts(judges: JudgeSet, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Everything on which answers depend: files by their hashes, wherever they lie, and what is said of them."""
    made: dict[str, Any] = {}
    for name, one in judges.files().items():
        made[name] = {**asdict(one), "file": "", "sha256": hashes[name]}
    if judges.clip is not None:
        apart = ("image", "text", "tokenizer")
        pair = asdict(judges.clip).items()
        made["clip"] = {name: value for name, value in pair if name not in apart}
    return made


def check_judges(judges: JudgeSet, where: str) -> None:
    """Whether what is said of judges can be: classes that are known, as many as the outputs, and numbers in range.

    Raises:
        InputError: it cannot.
    """
    for name, one, known in (
        ("expression", judges.expression, EXPRESSIONS),
        ("pose", judges.pose, TURNS),
    ):
        strange = [said for said in one.classes if SYNONYMS.get(said, said) not in known]
        count = 3 if one.degrees and name == "pose" else len(one.classes)
        if strange or count != one.outputs:
            raise InputError(
                f"{where}: the {name} judge's classes: expected {one.outputs} of {', '.join(known)}"
                + (" (or degrees = [1, 1, 1])" if name == "pose" else "")
                + f"; got {list(one.classes)}"
            )
        if one.degrees and (len(one.degrees) != 3 or not set(one.degrees) <= {1, -1}):
            raise InputError(
                f"{where}: the {name} judge's degrees: expected three of 1 and -1, got {list(one.degrees)}"
            )
    for name, file in judges.files().items():
        if isinstance(file, JudgeFile):
            _check_numbers(file, f"{where}: the {name} judge's")
    if judges.clip is not None:
        _check_clip(judges.clip, f"{where}: clip")


def _check_numbers(one: JudgeFile, where: str) -> None:
    if min(*one.input, one.outputs) < 1 or one.output < 0:
        raise InputError(
            f"{where} input and outputs: expected at least 1, output at least 0; got {list(one.input)}, "
            f"{one.outputs}, {one.output}"
        )
    if one.std == 0 or not 0 < one.frame <= MOST_FRAME:
        raise InputError(
            f"{where} std and frame: expected another std than 0 and a frame of at most {MOST_FRAME}; "
            f"got {one.std:g} and {one.frame:g}"
        )


def _check_clip(one: ClipFiles, where: str) -> None:
    if not (1 <= one.size <= 4096 and 2 <= one.length <= 4096):
        raise InputError(
            f"{where}: size and length: expected 1 to 4096 pixels and 2 to 4096 tokens, got {one.size} and {one.length}"
        )
    if 0 in one.stds:
        raise InputError(f"{where}: stds: expected none of 0, got {list(one.stds)}")
