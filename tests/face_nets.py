"""Face networks small enough for tests."""

import json

from dynamicid_jax.models.configs import to_dict
from dynamicid_jax.models.face_configs import (
    DetectorConfig,
    FaceConvConfig,
    FaceNetsConfig,
    FacePatchConfig,
)

SMALL = FaceNetsConfig(
    detector=DetectorConfig(FaceConvConfig(160, 8, (8, 8, 8), (1, 1, 1), groups=2), width=8),
    recogniser=FaceConvConfig(112, 16, (8, 8), (1, 0), groups=2, neck=4),
    landmarks=FaceConvConfig(192, 32, (8, 8), (1, 0), groups=2, neck=4),
    judge_recogniser=FacePatchConfig(112, 28, 16, 1, 2, 16),
    judge_motion=FacePatchConfig(64, 16, 16, 1, 2, 16),
)


def write_small(path):
    """The shapes as a file that `random_base` names."""
    path.write_text(json.dumps(to_dict(SMALL)))
    return str(path)
