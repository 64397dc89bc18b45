"""What encodes and edits people, as ONNX files: a CPU service does both with onnxruntime and without JAX.

OUT/image_encoder.onnx, face_projection.onnx     a photo's crop and id embedding to face tokens
OUT/keypoint_encoder.onnx, imr.onnx              landmark raster and face prompts to edited face tokens
OUT/face_prompts.safetensors                     the pooled text of every face prompt, by the prompt; "null_keypoint"

A face prompt is one of 126 (faces/prompts.py), so the text encoder itself is not needed. Pictures are NCHW here.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert import tensors
from dynamicid_jax.convert.load import Loaded, load_any
from dynamicid_jax.convert.model_folder import staged
from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.export.compare import check, tensor_differences
from dynamicid_jax.export.onnx import Input, output_differences, to_onnx, write_onnx
from dynamicid_jax.export.programs import Program, people_programs
from dynamicid_jax.export.report import Row, finish, line, row
from dynamicid_jax.faces.prompts import EXPRESSIONS, FACINGS, VIEWS, FaceWords
from dynamicid_jax.inference.networks import encode_text
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.types import Params

TOLERANCE = 1e-5  # of an output's largest value, or of 1
HALF_ABOVE = 1_900_000_000  # bytes of weights; an ONNX file holds 2 GB
ROWS = (1, 3)  # that the comparison tries
PICTURES = ("pixels", "raster")
PROMPTS = "face_prompts.safetensors"


def export_onnx(
    model: str | Path,
    out: Path,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Row]:
    """Writes the files.

    Args:
        model: whatever `load_any` reads.
        out: the folder; its parent must exist.
        overwrite: replace what an export wrote there.
        say: is told each file.

    Returns:
        {network or "face_prompts": {"file", "bytes", "difference", "tensors", "outputs"}}.

    Raises:
        InputError, WeightsError: a model that cannot be read.
        MissingPartError: a model that knows no people.
        ExportError: a file does not compute what JAX does.
        OutputError: a folder that cannot be written.
    """
    with staged(out, overwrite) as folder:
        loaded = load_any(model, dtype="float32")
        if loaded.config.face_projection is None:
            raise MissingPartError(f"{model}: has no face projection, so it knows no people")
        folder.mkdir()
        rows, notes = {}, []
        for name, program in people_programs(loaded.config).items():
            path = folder / f"{name}.onnx"
            weights = {part: loaded.weights[part] for part in program.components}
            half = sum(leaf.nbytes for leaf in jax.tree.leaves(weights)) > HALF_ABOVE
            if half:
                weights = jax.tree.map(_rounded, weights)
                notes.append(f"{name}: weights rounded to float16, since a file holds 2 GB")
            rows[name] = _write(path, program, weights, half)
        if loaded.config.imr is not None:
            rows["face_prompts"] = _write_prompts(folder / PROMPTS, loaded)
        for told in rows.values():
            say(line(f"{out / told['file']}", told))
        return finish(folder, out, "onnx", model, loaded, rows, notes)


def _write(path: Path, program: Program, weights: Params, half: bool) -> Row:
    """One network, compared under onnxruntime with one row and with three."""

    def function(*arrays: Any) -> list[Any]:
        given = dict(zip(program.inputs, arrays, strict=True))
        return list(program.function(weights, given).values())

    inputs = [
        Input(name, spec.shape, spec.dtype, channels_first=name in PICTURES)
        for name, spec in program.inputs.items()
    ]
    outputs = program.outputs
    model = to_onnx(function, inputs, outputs, half_weights=half)
    samples = [list(program.sample(rows, 1).values()) for rows in ROWS]
    found = output_differences(model, function, samples)
    with jax.default_matmul_precision("highest"):
        made = jax.jit(function)(*samples[1])
    scales = [max(1.0, float(np.abs(np.asarray(value)).max())) for value in made]
    relative = {name: found[name] / scale for name, scale in zip(outputs, scales, strict=True)}
    check(relative, TOLERANCE, path.stem)
    write_onnx(path, model)
    return row(path, {}, found)


def _rounded(leaf: Any) -> Any:
    """To float16's digits, still float32."""
    return jnp.asarray(np.asarray(leaf).astype(np.float16).astype(np.float32))


def _write_prompts(path: Path, loaded: Loaded) -> Row:
    """Pooled text of every face prompt."""
    config = loaded.config.text_encoder
    said = product(EXPRESSIONS, FACINGS, VIEWS)
    prompts = [FaceWords(*words).prompt() for words in said]
    ids = Tokenizer(loaded.tokenizer_dir, config.max_length)(prompts)
    pooled = encode_text(TextEncoder(config), loaded.weights["text_encoder"], ids)[1]
    arrays = dict(zip(prompts, np.asarray(pooled, np.float32), strict=True))
    if loaded.config.imr is not None and loaded.config.imr.null_keypoint:
        arrays["null_keypoint"] = np.asarray(loaded.weights["imr"]["null_keypoint"], np.float32)
    tensors.write(path, arrays)
    return row(path, tensor_differences(arrays, dict(tensors.open_file(path).read()), path.name))
