"""Trained face networks as a pack that `insightface.app.FaceAnalysis` loads from a folder, and their judges as ONNX.

PACK/detector.onnx       SCRFD's nine outputs: scores, boxes, points at strides 8, 16, 32
PACK/recogniser.onnx     512 numbers
PACK/2d106det.onnx       106 landmarks
PACK/judges/             recogniser.onnx, motion.onnx (evaluation/judges.py); not loaded with the pack

Weights are stored as float16 and computed with in float32: half the bytes. Every file is compared with JAX under
onnxruntime before it is written.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dynamicid_jax.convert.face_folder import load_faces
from dynamicid_jax.errors import ExportError, MissingPartError, OutputError
from dynamicid_jax.evaluation import judges
from dynamicid_jax.export.onnx import Input, to_onnx, verify, write_onnx
from dynamicid_jax.models.face_configs import PARTS, FaceNetsConfig
from dynamicid_jax.models.face_nets import STRIDES, face_net, seen_size
from dynamicid_jax.types import Params

TOLERANCE = 1e-4  # largest difference between onnxruntime and JAX
FILES = {
    "detector": "detector.onnx",
    "recogniser": "recogniser.onnx",
    "landmarks": "2d106det.onnx",
    "judge_recogniser": f"{judges.FOLDER}/{judges.RECOGNISER}",
    "judge_motion": f"{judges.FOLDER}/{judges.MOTION}",
}
_NINE = tuple(f"{what}_{stride}" for what in ("score", "box", "points") for stride in STRIDES)
OUTPUTS = {
    "detector": _NINE,
    "recogniser": ("embedding",),
    "landmarks": ("landmarks",),
    "judge_recogniser": ("embedding",),
    "judge_motion": ("expression", "turn"),
}


def graph_function(config: FaceNetsConfig, part: str, weights: Params) -> Callable[[Array], Any]:
    """What a part's ONNX file computes: pictures NHWC in about [-1, 1] to its outputs, in order."""
    net = face_net(config, part)

    def plain(x: Array) -> Any:
        return net.apply({"params": weights}, x)

    def detector(x: Array) -> list[Array]:
        scores, boxes, points = zip(*plain(x), strict=True)
        # One picture at a time, without a batch axis: how insightface reads two-dimensional outputs.
        rows = [jax.nn.sigmoid(one[0])[:, None] for one in scores]
        return [*rows, *(one[0] for one in boxes), *(one[0] for one in points)]

    def motion(x: Array) -> list[Array]:
        logits = plain(x)
        half = logits.shape[1] // 2
        return [logits[:, :half], logits[:, half:]]

    def landmarks(x: Array) -> Array:
        # Training counts from a picture's edge, insightface from the middle of its first pixel: half a pixel more.
        return plain(x) - 1 / x.shape[1]

    own = {"detector": detector, "landmarks": landmarks, "judge_motion": motion}
    return own.get(part, plain)


def export_face_pack(
    model: Path, out: Path, say: Callable[[str], None] = print
) -> dict[str, dict[str, Any]]:
    """Writes the pack.

    Args:
        model: a folder of trained face networks (WORKDIR/model).
        out: the pack's folder; made if need be, its files of the same names are replaced.
        say: is told each file.

    Returns:
        {part: {"file", "bytes", "difference" between onnxruntime and JAX}}.

    Raises:
        MissingPartError: a part is not trained yet.
        ExportError: a file does not compute what JAX does.
        OutputError: it cannot be written.
    """
    config, weights = load_faces(model)
    if missing := [part for part in PARTS if part not in weights]:
        raise MissingPartError(
            f"{model}: lacks {', '.join(missing)}; train configs/mini/face_pack's recipes first"
        )
    report = {}
    for part in PARTS:
        path = out / FILES[part]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot be made ({error.strerror})") from None
        difference = _write(config, part, weights[part], path)
        size = path.stat().st_size
        report[part] = {"file": str(path), "bytes": size, "difference": difference}
        say(f"{path}: {size / 2**20:.2f} MiB, within {difference:.1e} of JAX")
    return report


def _write(config: FaceNetsConfig, part: str, weights: Params, path: Path) -> float:
    """One file, compared on random pictures first."""
    rounded = jax.tree.map(lambda leaf: _halved(np.asarray(leaf)), weights)
    side = seen_size(config, part)
    function = graph_function(config, part, rounded)
    rows: int | str = 1 if part == "detector" else "n"
    inputs = [Input("input.1", (rows, side, side, 3), channels_first=True)]
    model = to_onnx(function, inputs, OUTPUTS[part], half_weights=True)
    difference = verify(model, jax.jit(function), _samples(side, (1,) if rows == 1 else (1, 3)))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{path}: onnxruntime differs from JAX by {difference:.1e}, more than {TOLERANCE}"
        )
    write_onnx(path, model)
    return difference


def _halved(leaf: np.ndarray) -> np.ndarray:
    """Rounded to float16, as float32."""
    return leaf.astype(np.float16).astype(np.float32)


def _samples(side: int, counts: Sequence[int]) -> list[list[Any]]:
    dice = np.random.default_rng(0)
    return [
        [jnp.asarray(dice.uniform(-1, 1, (n, side, side, 3)).astype(np.float32))] for n in counts
    ]
