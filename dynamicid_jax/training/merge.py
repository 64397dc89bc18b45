"""Models that were trained beside each other from the same start, as one: each gives the parts that it trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.face_folder import FACE_NETS_JSON, load_faces, save_faces
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.trained_on import read_trained, together
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.types import Params


def merge(folders: Sequence[tuple[str, Path]], target: Path) -> Path:
    """Writes one model folder.

    Args:
        folders: (stage, the model folder that it wrote); all of one kind.
        target: replaced if it is there.

    Raises:
        WeightsError: models of different shapes.
    """
    if (folders[0][1] / FACE_NETS_JSON).is_file():
        config, weights = _together(folders, [load_faces(folder) for _, folder in folders])
        save_faces(target, config, weights)
        return target
    loaded = [load_any(folder, place=np.asarray) for _, folder in folders]
    models = [(replace(one.config, weights="trained"), one.weights) for one in loaded]
    config, weights = _together(folders, models)
    seen = [known for _, folder in folders if (known := read_trained(folder)) is not None]
    model_folder.save(
        target,
        config,
        weights,
        loaded[0].tokenizer_dir,
        overwrite=True,
        trained_on=together(seen) if seen else None,
    )
    return target


def _together(
    folders: Sequence[tuple[str, Path]], models: Sequence[tuple[Any, Params]]
) -> tuple[Any, Params]:
    """The first model with what the others' stages trained."""
    config, weights = models[0][0], dict(models[0][1])
    for (stage, folder), (other, more) in zip(folders[1:], models[1:], strict=True):
        if other != config:
            raise WeightsError(f"{folder}: is of another shape than {folders[0][1]}")
        weights |= {part: more[part] for part in STAGES[stage].trains}
    return config, weights
