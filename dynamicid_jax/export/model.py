"""A model as a model folder in another dtype, whole or only what goes on top of a base, with a model card.

Each network's outputs are compared with the source's, and every tensor.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.load import Loaded, load_any
from dynamicid_jax.convert.trained_on import read_trained
from dynamicid_jax.export.card import Card, write_card
from dynamicid_jax.export.compare import output_changes, tensor_differences
from dynamicid_jax.export.report import MIB, Row, finish, row
from dynamicid_jax.trees import flatten


def export_model(
    model: str | Path,
    out: Path,
    dtype: str,
    *,
    face_pack: Path | None = None,
    adapter_only: bool = False,
    card: Card | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Row]:
    """Writes a model folder, or an adapter folder, with a model card (README.md).

    Args:
        model: whatever `load_any` reads.
        out: the folder; its parent must exist.
        dtype: of model_folder.STORED.
        face_pack: copied to face_pack/, instead of the model's own.
        adapter_only: leave out the base (UNet, VAE, text encoder, tokenizer): what several bases share.
        card: what the card says beside what the model itself says.
        overwrite: replace a model folder that is there already.
        say: is told each network.

    Returns:
        {network: {"file", "bytes", "difference", "tensors", "outputs"}}; the difference is the root mean square of the
        outputs' change over that of the outputs.

    Raises:
        InputError, WeightsError: a model, or an evaluation for the card, that cannot be read.
        OutputError: a folder that cannot be written.
    """
    card = card or Card()
    card.results()  # a wrong folder is told before the work, not after it
    with model_folder.staged(out, overwrite) as folder:
        before = load_any(model, dtype="float32", place=np.asarray)
        pack = before.face_pack_dir if face_pack is None else face_pack
        config, weights = before.config, before.weights
        if adapter_only:
            model_folder.save_adapter(folder, config, weights, pack, dtype=dtype)
            after = load_any(model, adapter=folder, dtype="float32", place=np.asarray)
        else:
            model_folder.save(
                folder,
                config,
                weights,
                before.tokenizer_dir,
                pack,
                dtype=dtype,
                trained_on=read_trained(model),
            )
            after = load_any(folder, dtype="float32", place=np.asarray)
        rows = _rows(folder, before, after)
        for told in rows.values():
            size = told["bytes"] / MIB
            say(f"{out / told['file']}: {size:.2f} MiB, outputs move by {told['difference']:.2%}")
        write_card(folder, model, out.name, before, dtype, adapter_only, card)
        return finish(folder, out, "model", model, before, rows)


def _rows(folder: Path, before: Loaded, after: Loaded) -> dict[str, Row]:
    """A line per network that was written."""
    moved = output_changes((before.config, before.weights), (after.config, after.weights))
    rows = {}
    for name, change in moved.items():
        path = folder / f"{name}.safetensors"
        if path.is_file():
            one, other = (flatten(side.weights[name]) for side in (before, after))
            tensors = tensor_differences(one, other, name)
            rows[name] = row(path, tensors, change.outputs, change.relative)
    return rows
