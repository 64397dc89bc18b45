"""What is known about one face in one photograph; pixels count from the upper left corner."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.faces.pose import Pose

LANDMARK_NETWORKS = {106: "2d106det.onnx", 68: "1k3d68.onnx"}  # as InsightFace's packs call them


@dataclass(frozen=True, eq=False)
class Detection:
    """A face as the detector saw it.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the photo; may reach beyond its edges.
        points: eyes, nose tip, mouth corners in pixels; those on the picture's left come first.
        score: the detector's confidence in [0, 1].
    """

    box: Float[np.ndarray, "4"]
    points: Float[np.ndarray, "5 2"]
    score: float

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return float(self.box[3] - self.box[1])


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One face with everything the pack's networks say about it; biometric data stays out of its representation.

    Attributes:
        detection: box, five points, score.
        embedding: L2-normalised identity [e] (e = 512 for the usual recognisers).
        pose: yaw, pitch, roll and their source.
        landmarks106: 106 points in pixels, or None where the pack has no such network.
        landmarks68: 68 points in pixels (x, y of the pack's 3-D network), or None.
    """

    detection: Detection
    embedding: Float[np.ndarray, "e"] = field(repr=False)
    pose: Pose
    landmarks106: Float[np.ndarray, "106 2"] | None = field(default=None, repr=False)
    landmarks68: Float[np.ndarray, "68 2"] | None = field(default=None, repr=False)

    @property
    def box(self) -> Float[np.ndarray, "4"]:
        """x0, y0, x1, y1 in pixels."""
        return self.detection.box

    @property
    def points(self) -> Float[np.ndarray, "5 2"]:
        """Eyes, nose tip, mouth corners in pixels."""
        return self.detection.points

    @property
    def score(self) -> float:
        """The detector's confidence in [0, 1]."""
        return self.detection.score

    @property
    def landmark_set(self) -> int:
        """How many points the richest set has: 106, 68 or 5."""
        if self.landmarks106 is not None:
            return 106
        return 5 if self.landmarks68 is None else 68

    def landmarks(self, count: int | None = None) -> Float[np.ndarray, "k 2"]:
        """Landmarks in pixels: those of one set (5, 68 or 106), or of the richest.

        Raises:
            MissingPartError: the face pack has no network for that set.
        """
        sets = {5: self.points, 68: self.landmarks68, 106: self.landmarks106}
        found = sets.get(self.landmark_set if count is None else count)
        if found is None:
            raise MissingPartError(no_landmarks(count, self.landmark_set))
        return found


def no_landmarks(count: int | None, best: int) -> str:
    """The line for a landmark set that the pack cannot give."""
    network = LANDMARK_NETWORKS.get(count or 0)
    remedy = f"add a {count}-point network (InsightFace's {network})" if network else "ask for 5"
    return f"face pack: it gives {best} landmarks, and {count} were asked for; {remedy}"
