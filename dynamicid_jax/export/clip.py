"""The image and the text encoder of a model whose two were trained in one space, as ONNX files: judges of CLIP-T.

FOLDER/clip_image.onnx    [n 3 s s], normalised pixels  ->  [n c]
FOLDER/clip_text.onnx     [n l] token ids               ->  [n c]

The mini model's are such a pair (the stages clip and base); SD1.5's text tower and a ViT-H vision tower are not.
Weights are stored as float16 and computed with in float32; both files are compared with JAX before they are written.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import ExportError, MissingPartError, OutputError
from dynamicid_jax.export.onnx import Input, to_onnx, verify, write_onnx
from dynamicid_jax.models.configs import TextEncoderConfig
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.types import Params

TOLERANCE = 1e-3  # largest difference between onnxruntime and JAX; states are of deviation 1
IMAGE, TEXT = "clip_image.onnx", "clip_text.onnx"


def export_clip(
    model: str | Path, out: Path, say: Callable[[str], None] = print
) -> dict[str, dict[str, Any]]:
    """Writes the pair.

    Args:
        model: whatever `load_any` reads.
        out: the folder; made if need be.
        say: is told each file.

    Returns:
        {"image" and "text": {"file", "bytes", "difference" between onnxruntime and JAX}}.

    Raises:
        MissingPartError: the model has no image encoder, or one of another width than the text encoder's.
        ExportError: a file does not compute what JAX does.
        OutputError: it cannot be written.
    """
    loaded = load_any(model, dtype="float32", place=np.asarray)
    image, text = loaded.config.image_encoder, loaded.config.text_encoder
    if image is None or image.projection_width != text.width:
        raise MissingPartError(f"{model}: has no image encoder in the text encoder's space")
    weights = jax.tree.map(_halved, loaded.weights)
    side, length = image.image_size, text.max_length
    seen = jax.jit(lambda x: ImageEncoder(image).apply({"params": weights["image_encoder"]}, x)[1])
    said = jax.jit(lambda ids: pooled_text(text, weights["text_encoder"], ids))
    dice = np.random.default_rng(0)
    pictures = dice.normal(size=(2, side, side, 3)).astype(np.float32)
    ids = dice.integers(0, text.vocab_size, (2, length)).astype(np.int32)
    ids[:, [length // 2, -1]] = text.eot_token_id
    parts: dict[str, tuple[str, Any, Input, np.ndarray]] = {
        "image": (
            IMAGE,
            seen,
            Input("pixels", ("n", side, side, 3), channels_first=True),
            pictures,
        ),
        "text": (TEXT, said, Input("ids", ("n", length), np.int32), ids),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror})") from None
    report = {}
    for name, (file, function, given, sample) in parts.items():
        made = to_onnx(function, [given], ["embedding"], half_weights=True)
        difference = verify(made, function, [[sample]])
        if not difference <= TOLERANCE:
            raise ExportError(f"{file}: onnxruntime differs from JAX by {difference:.1e}")
        write_onnx(out / file, made)
        size = (out / file).stat().st_size
        report[name] = {"file": str(out / file), "bytes": size, "difference": difference}
        say(f"{out / file}: {size / 2**20:.2f} MiB, within {difference:.1e} of JAX")
    return report


def pooled_text(
    config: TextEncoderConfig, weights: Params, ids: Int[Array, "b l"]
) -> Float[Array, "b x"]:
    """What `TextEncoder` gives as the pooled state, in products alone: the ONNX writer has no lookup by an input."""
    tower = TextEncoder(config).bind({"params": weights})
    one_hot = (ids[..., None] == jnp.arange(config.vocab_size)[None, None]).astype(jnp.float32)
    x = one_hot @ weights["token_embedding"]["embedding"]
    x = x + weights["position_embedding"]["embedding"][None]
    for layer in tower.layers:
        x = layer(x)
    is_end = (ids == config.eot_token_id).astype(jnp.float32)
    ends_before = is_end @ np.triu(np.ones((ids.shape[1],) * 2, np.float32), 1)
    first = is_end * (ends_before == 0)
    return (tower.final_norm(x) * first[..., None]).sum(1)


def _halved(leaf: np.ndarray) -> np.ndarray:
    """Rounded to float16, as float32."""
    return np.asarray(leaf).astype(np.float16).astype(np.float32)
