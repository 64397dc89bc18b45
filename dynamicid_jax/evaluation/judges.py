"""Judges: ONNX networks that a suite names, with the hash of the file and what the network expects.

    recogniser   an aligned face (ArcFace's five points)                ->  [N, e]        identity, made of length 1
    expression   a square around the face box                          ->  [N, classes]  the likeliest counts
    pose         a square around the face box                          ->  [N, classes], or yaw, pitch, roll in degrees
    clip         a picture; a text's token ids                         ->  [N, e]        of length 1 (clip_judge.py)

Pixels are (x - mean) / std of 0 to 255. Poses of a network that gives degrees are the studio grid's by yaw alone:

    |yaw| < 10 front (METHOD section 4);  < 35 half left, half right (the middle of 24 and 46, where the grid looks);
    beyond  full left, full right

A file is looked for in the folder of judges; its hash comes first, then its shapes are compared with the contract.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.faces.align import aligned_face, framed_face
from dynamicid_jax.faces.network_files import open_network
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.prompts import YAW_LIMIT
from dynamicid_jax.faces.session import described, fits
from dynamicid_jax.world.motion import EXPRESSIONS, POSES, YAWS

FOLDER, RECOGNISER, MOTION = "judges", "recogniser.onnx", "motion.onnx"
TURNS = (*POSES, "up", "down")
HALF_LIMIT = (YAWS[-1] + YAWS[-2]) / 2  # degrees between half and full: 35
SYNONYMS = {"angry": "anger"}  # FER2013's word


@dataclass(frozen=True)
class JudgeFile:
    """One network of a suite.

    Attributes:
        file: its path in the folder of judges.
        sha256: of the file; "" takes any (its hash is in the results all the same).
        input: channels, height, width.
        outputs: numbers per face, of the output that is read.
        output: which output, from 0.
        crop: how the face is cut out.
        frame: of "framed": the square's side in box sides.
        beyond: of "framed": what lies outside the picture.
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


class Judges:
    """Opened judges.

    Attributes:
        pack: the detector's pack.
        hashes: "file: sha256" by what it is for.
        fingerprint: of all files together.
    """

    def __init__(self, judges: JudgeSet, folder: Path) -> None:
        """Opens and checks them.

        Raises:
            MissingPartError: a file is missing.
            InputError: a file of another hash, or a network of another contract.
            WeightsError: a file is no ONNX network.
        """
        self.judges, self.folder = judges, folder
        found = {name: _checked_file(name, one, folder) for name, one in judges.files().items()}
        self.hashes = {name: f"{one.file}: {found[name]}" for name, one in judges.files().items()}
        self.fingerprint = hashlib.sha256("".join(self.hashes.values()).encode()).hexdigest()[:16]
        self.pack = _pack(folder / judges.detector.file)
        self._sessions: dict[str, Any] = {}
        for name, one in (
            ("recogniser", judges.recogniser),
            ("expression", judges.expression),
            ("pose", judges.pose),
        ):
            if one.file not in self._sessions:
                self._sessions[one.file] = open_network(
                    folder / one.file, f"{name} judge {one.file}"
                )
            _check_contract(name, one, self._sessions[one.file])

    def embedding(
        self, photo: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "5 2"]
    ) -> Float[np.ndarray, "e"]:
        """Identity of the face with these five points (pixels), of length 1."""
        one = self.judges.recogniser
        raw = self._run(one, aligned_face(photo, points, one.input[1]))[one.output]
        return (raw / max(float(np.linalg.norm(raw)), 1e-6)).astype(np.float32)

    def motion(
        self, photo: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]
    ) -> tuple[int, int]:
        """The likeliest of motion.EXPRESSIONS, and of TURNS, for the face in a box (pixels)."""
        asked = self.judges.expression, self.judges.pose
        said: dict[JudgeFile, list[np.ndarray]] = {}
        for one in asked:
            if one.network not in said:  # one network may judge both
                face = framed_face(photo, box, one.frame, one.input[1], one.beyond)
                said[one.network] = self._run(one, face)
        expression, pose = (said[one.network][one.output] for one in asked)
        return _class(asked[0], expression, EXPRESSIONS), _turn(asked[1], pose)

    def _run(self, one: JudgeFile, face: UInt8[np.ndarray, "s s 3"]) -> list[np.ndarray]:
        """All outputs for one face."""
        import cv2

        if one.colour == "grey":
            face = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None]
        elif one.colour == "bgr":
            face = face[..., ::-1]
        blob = ((face.astype(np.float32) - one.mean) / one.std).transpose(2, 0, 1)[None]
        session = self._sessions[one.file]
        return [out[0] for out in session.run(None, {session.get_inputs()[0].name: blob})]


def pose_of_yaw(yaw: float) -> int:
    """The studio grid's pose for degrees of yaw; see the top of the file."""
    side = 0 if abs(yaw) < YAW_LIMIT else 1 if abs(yaw) < HALF_LIMIT else 2
    return POSES.index("front") + (side if yaw > 0 else -side)


def _turn(one: JudgeFile, outputs: Float[np.ndarray, "k"]) -> int:
    return (
        pose_of_yaw(float(outputs[0]) * one.degrees[0])
        if one.degrees
        else _class(one, outputs, TURNS)
    )


def _class(one: JudgeFile, outputs: Float[np.ndarray, "k"], names: tuple[str, ...]) -> int:
    said = one.classes[int(outputs.argmax())]
    return names.index(SYNONYMS.get(said, said))


def check_judges(judges: JudgeSet, where: str) -> None:
    """Whether judges name what they are asked for.

    Raises:
        InputError: classes that nothing knows, or too few of them.
    """
    for name, one, known in (
        ("expression", judges.expression, EXPRESSIONS),
        ("pose", judges.pose, TURNS),
    ):
        strange = [said for said in one.classes if SYNONYMS.get(said, said) not in known]
        count = 3 if one.degrees and name == "pose" else len(one.classes)
        if strange or count != one.outputs or (one.degrees and len(one.degrees) != 3):
            raise InputError(
                f"{where}: the {name} judge's classes: expected {one.outputs} of {', '.join(known)}"
                + (" (or degrees = [1, 1, 1])" if name == "pose" else "")
                + f"; got {list(one.classes)}"
            )


def _checked_file(name: str, one: PlainFile | JudgeFile, folder: Path) -> str:
    """The file's hash."""
    path = folder / one.file
    if not path.is_file():
        raise MissingPartError(
            f"{name} judge {path}: no such file; --judges DIR names the folder that holds the suite's judges"
            + (f" (sha256 {one.sha256[:12]}...)" if one.sha256 else "")
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if one.sha256 and found != one.sha256:
        raise InputError(
            f"{name} judge {path}: expected sha256 {one.sha256[:12]}..., this file has {found[:12]}...; numbers of "
            "other judges do not compare: fetch the named file, or name yours in a suite of your own (--suite FILE)"
        )
    return found


def _pack(detector: Path) -> FacePack:
    pack = FacePack.load(
        detector.parent, threads=1
    )  # more wait for each other where cores are shared
    if pack.files["detection"] != detector.name:
        raise InputError(
            f"detector {detector}: insightface takes {pack.files['detection']} of this folder; "
            "keep one detector in it"
        )
    return pack


def _check_contract(name: str, one: JudgeFile, session: Any) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    channels = {"rgb": 3, "bgr": 3, "grey": 1}[one.colour]
    if one.input[0] != channels or one.input[1] != one.input[2]:
        raise InputError(
            f"{name} judge {one.file}: input: expected [{channels}, s, s] for {one.colour}, got {list(one.input)}"
        )
    if not (
        len(inputs) == 1
        and one.output < len(outputs)
        and inputs[0].type == outputs[one.output].type == "tensor(float)"
        and fits(inputs[0].shape, one.input)
        and fits(outputs[one.output].shape, [one.outputs])
    ):
        raise InputError(
            f"{name} judge {one.file}: expected float32 [N, {', '.join(map(str, one.input))}] -> "
            f"[N, {one.outputs}] (output {one.output}); this network has {described(session)}"
        )
