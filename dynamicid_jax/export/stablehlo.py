"""A model as programs that JAX alone runs: StableHLO by `jax.export`, for CPUs, CUDA GPUs and TPUs in one file each.

OUT/sampler.stablehlo        token ids, seeds and face tokens in, pictures out: all steps, LoRA folded in
OUT/text_encoder, unet, vae_decoder, vae_encoder, image_encoder, face_projection, keypoint_encoder, imr .stablehlo
OUT/weights.safetensors      the weights of all of them, names are paths
OUT/programs.json            each program's inputs, outputs and weights
OUT/load.py                  the loader (stablehlo_loader.py); OUT/tokenizer/ for the ids

Batch and number of people are left open; the pictures' size, the sampler and its steps are fixed. Attention is XLA's
own everywhere. Every program is read back and compared with the networks; the sampler with the pipeline.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert import tensors
from dynamicid_jax.convert.load import Loaded, load_any
from dynamicid_jax.convert.model_folder import TOKENIZER, staged
from dynamicid_jax.errors import InputError
from dynamicid_jax.export import stablehlo_loader
from dynamicid_jax.export.compare import check, largest, tensor_differences
from dynamicid_jax.export.programs import NOBODY, Program, Sizes, programs
from dynamicid_jax.export.report import Row, finish, line, row
from dynamicid_jax.export.sampler_check import sampler_difference
from dynamicid_jax.files import copy_folder, save_json
from dynamicid_jax.inference.people import PeopleEncoder
from dynamicid_jax.inference.request import Request
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models import attention
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.lora import fold
from dynamicid_jax.trees import flatten

PLATFORMS = ("cpu", "cuda", "tpu")
WEIGHTS, PROGRAMS, LOADER = "weights.safetensors", "programs.json", "load.py"
# Of the largest value of an output, or of 1: float32 in another order, and what bfloat16's 3 digits become in a loop.
TOLERANCES = {"float32": 1e-5, "bfloat16": 0.1}
ROWS, PEOPLE = 2, 3  # that the comparison runs


def export_stablehlo(
    model: str | Path,
    out: Path,
    *,
    dtype: str = "float32",
    size: tuple[int, int] | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    only: Sequence[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Row]:
    """Writes the programs.

    Args:
        model: whatever `load_any` reads.
        out: the folder; its parent must exist.
        dtype: of the weights, and of the UNet's and text encoder's arithmetic: "float32" or "bfloat16".
        size: (height, width) of the pictures, in pixels; None: the model's own.
        sampler: None: the model's own.
        steps: None: the model's own, or another sampler's usual number.
        only: programs to write; None: all that the model has networks for.
        overwrite: replace what an export wrote there.
        say: is told each program.

    Returns:
        {program: {"file", "bytes", "difference", "tensors", "outputs"}}, and the same for "weights".

    Raises:
        InputError, WeightsError: a model that cannot be read, or sizes that it cannot draw.
        ExportError: a program does not compute what the model does.
        OutputError: a folder that cannot be written.
    """
    if dtype not in TOLERANCES:
        raise InputError(f"dtype: {dtype!r}; programs are written in {' or '.join(TOLERANCES)}")
    with staged(out, overwrite) as folder:
        source = load_any(model, dtype=dtype)
        sizes = _sizes(source.config, size, sampler, steps)
        folded, every = _folded(source)
        chosen = _chosen(programs(folded.config, sizes, jnp.dtype(dtype)), only)
        flat = _weights_of(chosen.values(), every)
        folder.mkdir()
        tensors.write(folder / WEIGHTS, flat)
        rows = {"weights": _verified_weights(folder / WEIGHTS, flat)}
        say(line(f"{out / WEIGHTS}", rows["weights"]))
        about = {}
        for name, program in chosen.items():
            path, own = folder / f"{name}.stablehlo", _weights_of([program], flat)
            exported = _exported(program, own)
            path.write_bytes(exported.serialize())
            call = jax.export.deserialize(bytearray(path.read_bytes())).call
            if name == "sampler":
                found = sampler_difference(call, own, folded, sizes, dtype)
            else:
                found = _difference(program, call, own)
            check(found, TOLERANCES[dtype], name)
            rows[name] = row(path, {}, found)
            say(line(f"{out / path.name}", rows[name]))
            about[name] = _about(path, program, own, exported)
        save_json(about, folder / PROGRAMS)
        shutil.copyfile(stablehlo_loader.__file__, folder / LOADER)
        copy_folder(source.tokenizer_dir, folder / TOKENIZER)
        return finish(folder, out, "stablehlo", model, folded, rows)


def _verified_weights(path: Path, flat: Mapping[str, Any]) -> Row:
    """The file read back; it holds the very same values."""
    found = tensor_differences(flat, dict(tensors.open_file(path).read()), path.name)
    check(found, 0.0, path.name)
    return row(path, found)


def _sizes(
    config: ModelConfig, size: tuple[int, int] | None, sampler: str | None, steps: int | None
) -> Sizes:
    """Checked as a request's are."""
    height, width = size or (None, None)
    asked = Request.resolve(
        config, prompt="", height=height, width=width, sampler=sampler, steps=steps
    )
    return Sizes(asked.height, asked.width, asked.sampler, asked.steps)


def _chosen(every: Mapping[str, Program], only: Sequence[str] | None) -> Mapping[str, Program]:
    """The programs asked for.

    Raises:
        InputError: the model has no such program.
    """
    if only is None:
        return every
    if unknown := [name for name in only if name not in every]:
        raise InputError(
            f"only: this model has no program {unknown[0]!r}; it has {', '.join(every)}"
        )
    return {name: every[name] for name in only}


def _weights_of(some: Iterable[Program], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the programs read."""
    parts = {component for program in some for component in program.components}
    return {key: leaf for key, leaf in flat.items() if key.split("/")[0] in parts}


def _folded(source: Loaded) -> tuple[Loaded, dict[str, Any]]:
    """The model with LoRA in the UNet's kernels, and its weights by path, the tokens of nobody among them."""
    config, weights = source.config, dict(source.weights)
    if config.adapter is not None:
        weights["unet"], weights["adapter"], adapter = fold(
            weights["unet"], weights["adapter"], config.adapter
        )
        config = replace(config, adapter=adapter)
    loaded = source._replace(config=config, weights=weights)
    flat = flatten(weights)
    if config.face_projection is not None:
        tokenizer = Tokenizer(source.tokenizer_dir, config.text_encoder.max_length)
        flat[NOBODY] = PeopleEncoder(config, weights, tokenizer, None).unconditional()
    return loaded, flat


def _exported(program: Program, weights: Mapping[str, Any]) -> jax.export.Exported:
    """The program for every platform."""
    b, p = jax.export.symbolic_shape("b, p")
    given = {
        name: jax.ShapeDtypeStruct(spec.sized(b, p), spec.dtype)
        for name, spec in program.inputs.items()
    }
    known = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in weights.items()}
    with attention.unfused():
        return jax.export.export(jax.jit(program), platforms=PLATFORMS)(known, given)


def _difference(program: Program, call: Any, weights: Mapping[str, Any]) -> dict[str, float]:
    """A program read back against its function, compiled for sizes that are known; outputs' largest differences."""
    inputs = program.sample(ROWS, PEOPLE)
    ours, theirs = jax.jit(program)(weights, inputs), jax.jit(call)(weights, inputs)
    found = {}
    for name, value in ours.items():
        scale = max(1.0, float(jnp.abs(value.astype(jnp.float32)).max()))
        found[name] = largest(value, theirs[name], name) / scale
    return found


def _about(
    path: Path, program: Program, weights: Mapping[str, Any], exported: jax.export.Exported
) -> dict[str, Any]:
    """One program's entry of programs.json."""
    inputs = {
        name: {"shape": spec.shape, "dtype": np.dtype(spec.dtype).name, "about": spec.about}
        for name, spec in program.inputs.items()
    }
    tree = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    outputs = {
        name: {"shape": list(map(str, aval.shape)), "dtype": aval.dtype.name}
        for name, aval in tree.items()
    }
    return {
        "file": path.name,
        "about": program.about,
        "platforms": list(exported.platforms),
        "inputs": inputs,
        "outputs": outputs,
        "weights": list(weights),
    }
