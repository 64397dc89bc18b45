"""A judge of expressions: a small ONNX network that names what a face does.

Contract, checked when the file is opened:

    one input    float32 [N, 1, 64, 64]: grey faces, values in [-1, 1] (0 is -1, 255 is 1)
    one output   float32 [N, 7]: angry, disgust, fear, happy, sad, surprise, neutral (FER2013's order), as
                 probabilities or logits; "angry" is METHOD's "anger"

The face is a square of `FRAME` times the box's longer side, centred on the box and scaled to 64 pixels; beyond the
photo the edge pixels are repeated. FER2013's faces are cut about as tightly; on 400 small grey photographs the judge
was surest with frames of 1.15 to 1.3 (mean probability of its answer 0.58 and 0.59, against 0.52 with 1.0).
"""

from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.align import framed_face
from dynamicid_jax.faces.network_files import open_network
from dynamicid_jax.faces.prompts import Expression
from dynamicid_jax.faces.session import described, fits
from dynamicid_jax.images import check_file, shown

SIZE = 64
FRAME = 1.15
OUTPUTS: tuple[Expression, ...] = (
    "anger",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
    "neutral",
)
CONTRACT = (
    f"one float32 input [N, 1, {SIZE}, {SIZE}] (grey faces in [-1, 1]) and one output [N, {len(OUTPUTS)}] "
    "(angry, disgust, fear, happy, sad, surprise, neutral)"
)


class ExpressionJudge:
    """An opened judge; call it with a photo and a face box."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Opens the network on the CPU, with one thread, and checks it against the contract.

        Raises:
            InputError: no such file, or a network of another contract.
            WeightsError: not an ONNX file, or a damaged one.
        """
        name = f"expression judge {shown(path)}"
        if not Path(path).exists():
            raise InputError(f"{name}: no such file; expected an ONNX network with {CONTRACT}")
        check_file(path, name)
        self._session = open_network(Path(path), name)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        right = (
            len(inputs) == len(outputs) == 1
            and inputs[0].type == outputs[0].type == "tensor(float)"
            and fits(inputs[0].shape, [1, SIZE, SIZE])
            and fits(outputs[0].shape, [len(OUTPUTS)])
        )
        if not right:
            got = described(self._session)
            raise InputError(f"{name}: expected {CONTRACT}; this network has {got}")
        self._input = inputs[0].name

    def __call__(
        self, photo: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]
    ) -> tuple[Expression, float]:
        """The likeliest expression of the face in a box (pixels), and its probability."""
        chances = self.probabilities(frame_face(photo, box)[None])[0]
        best = int(chances.argmax())
        return OUTPUTS[best], float(chances[best])

    def probabilities(self, faces: UInt8[np.ndarray, "n 64 64"]) -> Float[np.ndarray, "n 7"]:
        """Probabilities in the order of `OUTPUTS`, for grey faces."""
        batch = (faces.astype(np.float32) / 127.5 - 1)[:, None]
        # One face at a time: some exports fix N at 1.
        raw = np.concatenate(
            [self._session.run(None, {self._input: face[None]})[0] for face in batch]
        ).astype(np.float64)
        if (raw >= 0).all() and np.allclose(raw.sum(1), 1, atol=1e-3):
            return raw.astype(np.float32)
        grown = np.exp(raw - raw.max(1, keepdims=True))
        return (grown / grown.sum(1, keepdims=True)).astype(np.float32)


def frame_face(
    photo: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]
) -> UInt8[np.ndarray, "64 64"]:
    """The grey 64 x 64 picture of a face that the judge looks at."""
    import cv2

    return framed_face(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), box, FRAME, SIZE).astype(np.uint8)
