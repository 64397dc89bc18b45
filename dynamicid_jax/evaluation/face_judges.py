"""The judge pair of the made-up world: ONNX files, trained apart from the pack that they judge.

judges/recogniser.onnx   [n 3 112 112] in [-1, 1], RGB, an aligned face  ->  [n 512]
judges/motion.onnx       [n 3 64 64] in [-1, 1], RGB, a square of 1.5 times the face box
                                                                      ->  expression [n 7], turn [n 7]
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.faces.align import aligned_face
from dynamicid_jax.faces.network_files import open_network
from dynamicid_jax.world.faces import FRAME

FOLDER, RECOGNISER, MOTION = "judges", "recogniser.onnx", "motion.onnx"


class FaceJudges:
    """Both judges, loaded from a folder."""

    def __init__(self, folder: Path) -> None:
        """Loads them.

        Args:
            folder: with recogniser.onnx and motion.onnx; a pack's judges/.

        Raises:
            MissingPartError: a file is missing.
            WeightsError: a file is no ONNX network.
        """
        self._recogniser = _session(folder / RECOGNISER)
        self._motion = _session(folder / MOTION)

    def embedding(
        self, photo: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "5 2"]
    ) -> Float[np.ndarray, "e"]:
        """Identity of the face with these five points (pixels), of length 1."""
        size = self._recogniser.get_inputs()[0].shape[-1]
        raw = _run(self._recogniser, aligned_face(photo, points, size))[0]
        return raw / max(float(np.linalg.norm(raw)), 1e-6)

    def motion(
        self, photo: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]
    ) -> tuple[Float[np.ndarray, "7"], Float[np.ndarray, "7"]]:
        """Logits of world.motion.EXPRESSIONS, and of the turns: the studio grid's five poses, up, down."""
        import cv2

        size = self._motion.get_inputs()[0].shape[-1]
        middle = (box[:2] + box[2:]) / 2
        side = FRAME * float(max(box[2] - box[0], box[3] - box[1]))
        scale, shift = size / side, size / 2 - middle * size / side
        place = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
        expression, turn = _run(self._motion, cv2.warpAffine(photo, place, (size, size)))
        return expression, turn


def _session(path: Path) -> Any:
    if not path.is_file():
        raise MissingPartError(
            f"judge {path}: no such file; `dynamicid export --to face_pack` writes a pack with its judges in {FOLDER}/"
        )
    return open_network(path, "judge")


def _run(session: Any, picture: UInt8[np.ndarray, "s s 3"]) -> list[np.ndarray]:
    blob = (picture.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
    return [out[0] for out in session.run(None, {session.get_inputs()[0].name: blob})]
