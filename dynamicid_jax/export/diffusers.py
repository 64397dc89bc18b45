"""What an ordinary PyTorch user can take of a trained model: the base with LoRA folded in, and the LoRA by itself.

OUT/model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/    StableDiffusionPipeline.from_pretrained(OUT)
OUT/lora/pytorch_lora_weights.safetensors                       for the base that it was trained on: load_lora_weights

diffusers has no face branch, so its pictures are those of this model without people. Load one of the two, not both.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dynamicid_jax.convert import published_files, tensors
from dynamicid_jax.convert.engine import to_ours, to_torch
from dynamicid_jax.convert.load import Loaded, load_any
from dynamicid_jax.convert.model_folder import staged
from dynamicid_jax.convert.published import DIFFUSERS, TRANSFORMERS
from dynamicid_jax.convert.rules_lora import lora_rules
from dynamicid_jax.export.compare import check, output_changes, tensor_differences
from dynamicid_jax.export.published import check_configs
from dynamicid_jax.export.report import Row, finish, line, row
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.lora import fold, with_factor_one
from dynamicid_jax.trees import flatten

LORA = Path("lora") / "pytorch_lora_weights.safetensors"
FILES = {"unet": DIFFUSERS, "vae": DIFFUSERS, "text_encoder": TRANSFORMERS}
TOLERANCE = 1e-4  # of the folded UNet's outputs: the same sums in another order
LORA_KEYS = ("lora_down", "lora_up")


def export_diffusers(
    model: str | Path,
    out: Path,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Row]:
    """Writes the folder; weights keep the dtype that they are stored in (8-bit ones become float32).

    Args:
        model: whatever `load_any` reads; without an adapter only the base is written.
        out: the folder; its parent must exist.
        overwrite: replace what an export wrote there.
        say: is told each file.

    Returns:
        {network or "lora": {"file", "bytes", "difference", "tensors", "outputs"}}.

    Raises:
        InputError, WeightsError: a model that cannot be read.
        ExportError: what was written does not compute what the model does.
        OutputError: a folder that cannot be written.
    """
    with staged(out, overwrite) as folder:
        source = load_any(model, place=np.asarray)
        folded = _folded(source)
        folder.mkdir()
        published_files.write_base(folder, *folded[:3])
        rows = _verified_base(folder, source, folded)
        if source.config.adapter is not None:
            rows["lora"] = _write_lora(folder, source)
        for told in rows.values():
            say(line(f"{out / told['file']}", told))
        return finish(folder, out, "diffusers", model, source, rows)


def _folded(source: Loaded) -> Loaded:
    """The base with LoRA in its kernels, nothing on top."""
    config, weights = source.config, source.weights
    base = dict(weights["unet"])
    if config.adapter is not None:
        copy = jax.tree.map(lambda leaf: leaf, base)  # `fold` changes the dicts in place
        base, _, _ = fold(copy, weights["adapter"], config.adapter)
        base = jax.tree.map(np.asarray, base)
    nothing = dict.fromkeys(("adapter", "face_projection", "imr", "keypoint_encoder"))
    config = replace(config, **nothing, image_encoder=None)  # type: ignore[arg-type]
    kept = {name: weights[name] for name in ("vae", "text_encoder")}
    return source._replace(config=config, weights={"unet": base, **kept})


def _verified_base(folder: Path, source: Loaded, folded: Loaded) -> dict[str, Row]:
    """Tensors against what was folded, outputs against the model with its LoRA beside."""
    read = load_any(folder)
    check_configs(_plain(folded.config), _plain(read.config))
    moved = output_changes((source.config, source.weights), (read.config, read.weights))
    rows = {}
    for name, stem in FILES.items():
        found = tensor_differences(flatten(folded.weights[name]), flatten(read.weights[name]), name)
        check(found, 0.0, name)
        half = read.config.dtype != "float32"  # rounds what was folded
        check(moved[name].outputs, np.inf if half else TOLERANCE, name)
        path = folder / name / f"{stem}.safetensors"
        rows[name] = {**row(path, found, moved[name].outputs), "file": f"{name}/{path.name}"}
    return rows


def _plain(config: ModelConfig) -> ModelConfig:
    """Without what a diffusers folder has no place for."""
    plain = ModelConfig()
    dropped = ("sampling", "id_channels", "reference_crop", "weights")
    return replace(config, **{name: getattr(plain, name) for name in dropped})


def _write_lora(folder: Path, source: Loaded) -> Row:
    """The LoRA alone, read back."""
    path = folder / LORA
    path.parent.mkdir()
    assert source.config.adapter is not None
    adapter, _ = with_factor_one(source.weights["adapter"], source.config.adapter)
    flat = flatten({"adapter": adapter})
    flat = {name: leaf for name, leaf in flat.items() if name.endswith(LORA_KEYS)}
    table = lora_rules(source.config.unet)
    tensors.write(path, to_torch(table, flat), published_files.METADATA)
    shapes = {name: tuple(leaf.shape) for name, leaf in flat.items()}
    state: dict[str, Any] = dict(tensors.open_file(path).read())
    found = tensor_differences(flat, to_ours(table, state, shapes, path.name), path.name)
    check(found, 0.0, path.name)
    return {**row(path, found), "file": str(LORA)}
