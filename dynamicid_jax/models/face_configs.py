"""Shapes of the face pack's networks and of the judges (models/face_nets.py)."""

from dataclasses import dataclass, field

PARTS = ("detector", "recogniser", "landmarks", "judge_recogniser", "judge_motion")
LANDMARKS = 106
EXPRESSIONS = 7
TURNS = 7  # the studio grid's five poses, up, down


@dataclass(frozen=True)
class FaceConvConfig:
    """A convolutional trunk.

    Attributes:
        size: side of the picture that it sees.
        stem: side of the first, non-overlapping patches.
        channels: of each stage; every stage halves the resolution of the one before.
        blocks: residual blocks of each stage.
        groups: of every group normalisation.
        neck: channels that are left of the last stage before the linear map.
    """

    size: int = 112
    stem: int = 4
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    groups: int = 8
    neck: int = 16


@dataclass(frozen=True)
class DetectorConfig:
    """A trunk whose last three stages have strides 8, 16 and 32, and the width of the heads."""

    trunk: FaceConvConfig = field(
        default_factory=lambda: FaceConvConfig(160, 8, (48, 80, 80), (1, 2, 1))
    )
    width: int = 48


@dataclass(frozen=True)
class FacePatchConfig:
    """A transformer over patches of a picture of `size` pixels a side."""

    size: int = 112
    patch: int = 14
    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp: int = 384


@dataclass(frozen=True)
class FaceNetsConfig:
    """A face pack and its judges: what `face_nets.json` holds. A part without a file is not trained yet.

    Attributes:
        embedding: numbers of an identity.
    """

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    recogniser: FaceConvConfig = field(default_factory=FaceConvConfig)
    landmarks: FaceConvConfig = field(
        default_factory=lambda: FaceConvConfig(192, 8, (32, 64, 128), (1, 2, 1))
    )
    judge_recogniser: FacePatchConfig = field(default_factory=FacePatchConfig)
    judge_motion: FacePatchConfig = field(default_factory=lambda: FacePatchConfig(64, 8))
    embedding: int = 512
