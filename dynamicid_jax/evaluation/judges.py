"""Judges: the ONNX networks of a suite (judge_files.py), opened, and asked.

    recogniser   a face                                                ->  [N, e]        identity, made of length 1
    expression   a face                                                ->  [N, classes]  the likeliest counts
    pose         a face                                                ->  [N, classes], or yaw, pitch, roll in degrees
    clip         a picture; a text's token ids                         ->  [N, e]        of length 1 (clip_judge.py)

A face is cut out as the suite says (`crop`): aligned by ArcFace's five points, or a square around its box. Pixels are
(x - mean) / std of 0 to 255. Poses of a network that gives degrees are the studio grid's by yaw alone:

    |yaw| < 10 front (METHOD section 4);  < 35 half left, half right (the middle of 24 and 46, where the grid looks);
    beyond  full left, full right

A file is looked for in the folder of judges; its hash comes first, then its shapes are compared with the contract.
What judges said is kept by files and contract (`Judges.fingerprint`): another frame, mean or order of classes says
other things.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.evaluation.judge_files import (
    SYNONYMS,
    TURNS,
    JudgeFile,
    JudgeSet,
    PlainFile,
    contracts,
)
from dynamicid_jax.faces.align import aligned_face, framed_face
from dynamicid_jax.faces.network_files import open_network
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.prompts import YAW_LIMIT
from dynamicid_jax.faces.record import Detection
from dynamicid_jax.faces.session import described, fits
from dynamicid_jax.world.motion import EXPRESSIONS, POSES, YAWS

FOLDER, RECOGNISER, MOTION = "judges", "recogniser.onnx", "motion.onnx"
HALF_LIMIT = (YAWS[-1] + YAWS[-2]) / 2  # degrees between half and full: 35


class Judges:
    """Opened judges.

    Attributes:
        pack: the detector's pack.
        hashes: "file: sha256" by what it is for.
        fingerprint: of all files and of all that is said of them: input, cut, classes and the like.
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
        said = contracts(judges, found)
        if judges.clip is not None:
            said["tokenizer"] = _folder_hash(folder / judges.clip.tokenizer)
        self.fingerprint = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[
            :16
        ]
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
        self, photo: UInt8[np.ndarray, "h w 3"], face: Detection
    ) -> Float[np.ndarray, "e"]:
        """Identity of a face, of length 1."""
        one = self.judges.recogniser
        raw = self._run(one, _cut(one, photo, face))[one.output]
        return (raw / max(float(np.linalg.norm(raw)), 1e-6)).astype(np.float32)

    def motion(self, photo: UInt8[np.ndarray, "h w 3"], face: Detection) -> tuple[int, int]:
        """The likeliest of motion.EXPRESSIONS, and of TURNS, for a face."""
        asked = self.judges.expression, self.judges.pose
        said: dict[JudgeFile, list[np.ndarray]] = {}
        for one in asked:
            if one.network not in said:  # one network may judge both
                said[one.network] = self._run(one, _cut(one, photo, face))
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


def _cut(
    one: JudgeFile, photo: UInt8[np.ndarray, "h w 3"], face: Detection
) -> UInt8[np.ndarray, "s s 3"]:
    """The face as a judge wants it."""
    if one.crop == "aligned":
        return aligned_face(photo, face.points, one.input[1])
    return framed_face(photo, face.box, one.frame, one.input[1], one.beyond)


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


def _checked_file(name: str, one: PlainFile | JudgeFile, folder: Path) -> str:
    """The file's hash."""
    path = folder / one.file
    try:
        there = path.is_file()
    except OSError as error:  # a name that no file can have
        raise InputError(f"{name} judge {one.file!r:.80}: {error.strerror}") from None
    if not there:
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


def _folder_hash(folder: Path) -> str:
    """Of the names and contents of a folder's files; what is not there is told by whoever opens it."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.is_file():
            digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()


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
