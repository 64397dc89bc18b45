"""CLIP-T: how well a picture shows its prompt, by a pair of ONNX networks in one space.

    CLIP-T = cos(image(picture), text(prompt))

Each embedding is computed once and kept in a file of JSON lines by the picture's bytes or the text. A pair that is part
of a model folder is written as ONNX first, into the cache (export/clip.py).
"""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.journal import Journal
from dynamicid_jax.evaluation.judge_files import ClipFiles
from dynamicid_jax.evaluation.looks import picture_key
from dynamicid_jax.evaluation.metrics import face_sim
from dynamicid_jax.faces.network_files import one_line, open_network
from dynamicid_jax.faces.session import described, fits

PARTS = "image_encoder.safetensors", "text_encoder.safetensors"
INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class ClipJudge:
    """The pair; call it with a picture and a text."""

    def __init__(self, files: ClipFiles, folder: Path, kept: Path, fingerprint: str) -> None:
        """Opens the networks and reads what is kept.

        Args:
            files: of the suite.
            folder: of the judges.
            kept: the file of embeddings; made if need be.
            fingerprint: of the judges; what others saw is not used.

        Raises:
            InputError: a network of another contract, or two that share no space.
            WeightsError: a damaged file, or no tokenizer.
        """
        from dynamicid_jax.inference.tokenizer import Tokenizer

        self._files, self._fingerprint = files, fingerprint
        image, text = _networks(files, folder, fingerprint)
        self._image = open_network(image, f"clip image judge {files.image.file}")
        self._text = open_network(text, f"clip text judge {files.text.file}")
        _check("image", self._image, [3, files.size, files.size], {"tensor(float)": np.float32})
        _check("text", self._text, [files.length], INTEGERS)
        self._tokenizer = Tokenizer(folder / files.tokenizer, files.length)
        self._check_space()
        self._journal = Journal(kept)
        self._known = {
            one["key"]: np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
            for one in self._journal.read()
            if one.get("judges") == fingerprint
        }

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"], text: str) -> float:
        """CLIP-T in [-1, 1]."""
        words = "text " + hashlib.sha256(text.encode()).hexdigest()[:24]
        return face_sim(
            self._kept(picture_key(picture), lambda: self._of_picture(picture)),
            self._kept(words, lambda: self._of_text(text)),
        )

    def _check_space(self) -> None:
        """Asks both once: what they cannot do shows before anything is drawn."""
        try:
            picture = self._of_picture(np.zeros((self._files.size,) * 2 + (3,), np.uint8))
            text = self._of_text("")
        except Exception as error:  # onnxruntime has its own kinds
            raise InputError(
                f"clip judges: cannot be run as the suite says ({one_line(error)}); look at size, length and tokenizer"
            ) from None
        if picture.shape != text.shape:
            raise InputError(
                f"clip judges: expected a pair in one space, got {len(picture)} numbers of a picture and {len(text)} "
                "of a text"
            )

    def _kept(self, key: str, made: Callable[[], Float[np.ndarray, "e"]]) -> Float[np.ndarray, "e"]:
        if key not in self._known:
            self._known[key] = made()
            text = base64.b64encode(self._known[key].astype("<f4").tobytes()).decode()
            self._journal.write({"judges": self._fingerprint, "key": key, "embedding": text})
        return self._known[key]

    def _of_picture(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "e"]:
        from dynamicid_jax.inference.preprocess import clip_square

        files = self._files
        mean, std = (np.array(some, np.float32)[None, None] for some in (files.means, files.stds))
        pixels = (clip_square(picture, files.size).astype(np.float32) / 255 - mean) / std
        return _run(self._image, pixels.transpose(2, 0, 1)[None])

    def _of_text(self, text: str) -> Float[np.ndarray, "e"]:
        kind = INTEGERS[self._text.get_inputs()[0].type]
        return _run(self._text, self._tokenizer.ids([text]).astype(kind))


def _networks(files: ClipFiles, folder: Path, fingerprint: str) -> tuple[Path, Path]:
    """The two ONNX files.

    Raises:
        InputError: one of them is part of a model folder, and the other one not of the same.
    """
    given = Path(files.image.file), Path(files.text.file)
    if all(one.suffix != ".safetensors" for one in given):
        return folder / given[0], folder / given[1]
    if given != (given[0].with_name(PARTS[0]), given[0].with_name(PARTS[1])):
        raise InputError(
            f"clip judges: expected two ONNX files, or {' and '.join(PARTS)} of one model folder; got "
            f"{files.image.file!r:.80} and {files.text.file!r:.80}"
        )
    from dynamicid_jax.cache import cache_folder
    from dynamicid_jax.export.clip import IMAGE, TEXT, export_clip

    cached = cache_folder("judges") / fingerprint
    image, text = cached / IMAGE, cached / TEXT
    if not (image.is_file() and text.is_file()):
        export_clip((folder / files.image.file).parent.resolve(), cached, lambda said: None)
    return image, text


def _run(session: Any, blob: np.ndarray) -> Float[np.ndarray, "e"]:
    return session.run(None, {session.get_inputs()[0].name: blob})[0].reshape(-1).astype(np.float32)


def _check(name: str, session: Any, shape: list[int], kinds: dict[str, Any]) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not (
        len(inputs) == 1
        and inputs[0].type in kinds
        and fits(inputs[0].shape, shape)
        and outputs[0].type == "tensor(float)"
        and len(outputs[0].shape) == 2
    ):
        raise InputError(
            f"clip {name} judge: expected one input {' or '.join(kinds)} [N, {', '.join(map(str, shape))}] and an "
            f"output [N, e]; this network has {described(session)}"
        )
