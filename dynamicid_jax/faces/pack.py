"""A face pack: a folder of ONNX files, read by insightface's FaceAnalysis on onnxruntime.

Nothing is ever downloaded. A detector with five key points and a recogniser are required; a network
for 106 points and one for 68 points in 3-D (which also gives the pose) are used where present.

The two channel orders live here only: detection and landmarks always get BGR, as insightface
expects; the recogniser gets what `id_channels` says (METHOD section 2).
"""

import contextlib
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import FaceError, MissingPartError, WeightsError
from dynamicid_jax.faces.align import aligned_face
from dynamicid_jax.faces.network_files import one_line
from dynamicid_jax.faces.pack_folder import (
    DETECTION_SIZE,
    DETECTOR,
    RECOGNISER,
    find_pack,
    lacks,
    load_analysis,
)
from dynamicid_jax.faces.pose import Pose, pose_from_points
from dynamicid_jax.faces.record import Detection, FaceRecord
from dynamicid_jax.images import shown

IdChannels = Literal["rgb", "bgr"]


class FacePack:
    """A loaded pack.

    Attributes:
        folder: where its files are.
        name: the folder's name.
        files: file name by task: detection, recognition, landmark_2d_106, landmark_3d_68.
        unused: ONNX files of the folder that serve none of these tasks.
        landmark_sets: how many landmarks its records can give, e.g. (5, 106).
    """

    def __init__(self, folder: Path, analysis: Any) -> None:
        """Wraps a prepared `insightface.app.FaceAnalysis`; users call `load`."""
        self.folder = folder
        self.name = folder.resolve().name
        self._models: dict[str, Any] = dict(analysis.models)
        self.files = {task: Path(net.model_file).name for task, net in self._models.items()}
        present = {path.name for path in folder.glob("*.onnx")}
        self.unused = tuple(sorted(present - set(self.files.values())))
        extra = [("landmark_3d_68", 68), ("landmark_2d_106", 106)]
        self.landmark_sets = (5, *(count for task, count in extra if task in self._models))

    @classmethod
    def load(
        cls,
        name_or_path: str | PathLike[str],
        *,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int | None = None,
    ) -> "FacePack":
        """Loads a pack from a folder, or by name from ~/.insightface/models.

        Args:
            name_or_path: an existing folder, or a pack's name.
            providers: onnxruntime's execution providers, by preference.
            threads: CPU threads per network; None leaves it to onnxruntime.

        Raises:
            InputError: the path is a file.
            MissingPartError: no such folder, no ONNX files in it, no detector with key points, or
                no recogniser.
            WeightsError: a file is damaged.
        """
        folder = find_pack(name_or_path)
        pack = cls(folder, load_analysis(folder, list(providers), threads))
        if not getattr(pack._models["detection"], "use_kps", False):
            raise MissingPartError(lacks(folder, DETECTOR))
        if "recognition" not in pack.files:
            raise MissingPartError(lacks(folder, RECOGNISER))
        return pack

    def detect(self, photo: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """All faces of an RGB photo, from left to right; an empty list where there is none.

        A face that fills the frame is missed at the detector's scale, so a photo without faces is
        looked at again with a black border of half its size on every side.
        """
        height, width = photo.shape[:2]
        if min(height, width) * DETECTION_SIZE < 8 * max(height, width):
            return []  # a strip: at the detector's scale it is thinner than its finest stride
        found = self._detect(photo)
        if not found:
            down, right = height // 2, width // 2
            shift = np.array([right, down], np.float32)
            bordered = np.pad(photo, ((down, down), (right, right), (0, 0)))
            found = [
                Detection(one.box - np.tile(shift, 2), one.points - shift[None], one.score)
                for one in self._detect(bordered)
            ]
        return sorted(found, key=lambda one: float(one.box[0] + one.box[2]))

    def record(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        detection: Detection,
        id_channels: IdChannels = "bgr",
    ) -> FaceRecord:
        """Runs the pack's other networks on one detected face of an RGB photo.

        Args:
            photo: the photo it was detected in.
            detection: one of `detect(photo)`.
            id_channels: the order in which the recogniser gets the channels where it expects BGR.

        Raises:
            FaceError: the key points show no face, or the recogniser gives nothing usable.
        """
        landmarks, pose = self._landmarks(photo, detection)
        return FaceRecord(
            detection=detection,
            embedding=self._embedding(photo, detection, id_channels),
            pose=pose or pose_from_points(detection.points),
            landmarks106=landmarks.get("landmark_2d_106"),
            landmarks68=landmarks.get("landmark_3d_68"),
        )

    def _detect(self, photo: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        with self._blaming("detection"):
            boxes, points = self._models["detection"].detect(_bgr(photo))
            return [
                Detection(box[:4].astype(np.float32), five.astype(np.float32), float(box[4]))
                for box, five in zip(boxes, points, strict=True)
                if np.isfinite(box).all() and np.isfinite(five).all()
            ]

    @contextlib.contextmanager
    def _blaming(self, task: str) -> Iterator[None]:
        """Whatever goes wrong while a network looks at a photo is its file's fault, in one line."""
        try:
            yield
        except Exception as error:  # insightface, NumPy, OpenCV, onnxruntime: each has its own
            raise WeightsError(
                f"face pack file {shown(self.folder / self.files[task])}: fails on a photo; it is not the {task} "
                f"network that it seems to be: replace it ({one_line(error)})"
            ) from error

    def _embedding(
        self, photo: UInt8[np.ndarray, "h w 3"], detection: Detection, id_channels: IdChannels
    ) -> Float[np.ndarray, "e"]:
        net = self._models["recognition"]
        face = aligned_face(photo, detection.points, net.input_size[0])
        with self._blaming("recognition"):
            # `get_feat` swaps the first and the last channel of what it is given.
            raw = net.get_feat(_bgr(face) if id_channels == "bgr" else face).reshape(-1)
        norm = float(np.linalg.norm(raw))
        if not np.isfinite(norm) or norm == 0:
            raise FaceError(f"{self.files['recognition']}: gives no embedding for this face")
        return (raw / norm).astype(np.float32)

    def _landmarks(
        self, photo: UInt8[np.ndarray, "h w 3"], detection: Detection
    ) -> tuple[dict[str, Float[np.ndarray, "_ 2"]], Pose | None]:
        """Points of the landmark networks by task, and the 3-D one's pose."""
        from insightface.app.common import Face

        face = Face(bbox=detection.box, kps=detection.points, det_score=detection.score)
        found: dict[str, Float[np.ndarray, "_ 2"]] = {}
        for task in ("landmark_2d_106", "landmark_3d_68"):
            if task in self._models:
                with self._blaming(task):
                    points = self._models[task].get(_bgr(photo), face)
                    found[task] = points[:, :2].astype(np.float32)
        if face.pose is None:
            return found, None
        pitch, yaw, roll = (float(angle) for angle in face.pose)
        return found, Pose(yaw, pitch, roll, source="network")


def _bgr(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.ascontiguousarray(picture[..., ::-1])
