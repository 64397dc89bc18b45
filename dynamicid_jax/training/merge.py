"""Models that were trained beside each other from the same start, as one: each gives the parts that it trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.face_folder import FACE_NETS_JSON, load_faces, save_faces
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.training.stages import STAGES


def merge(folders: Sequence[tuple[str, Path]], target: Path) -> Path:
    """Writes one model folder.

    Args:
        folders: (stage, the model folder that it wrote); all of one kind.
        target: replaced if it is there.

    Raises:
        WeightsError: models of different shapes.
    """
    if (folders[0][1] / FACE_NETS_JSON).is_file():
        return _merge_faces(folders, target)
    loaded = [load_any(folder, place=np.asarray) for _, folder in folders]
    first = loaded[0]
    weights: dict[str, Any] = dict(first.weights)
    for (stage, folder), one in zip(folders, loaded, strict=True):
        if replace(one.config, weights="trained") != replace(first.config, weights="trained"):
            raise WeightsError(f"{folder}: is of another shape than {folders[0][1]}")
        weights |= {part: one.weights[part] for part in STAGES[stage].trains}
    model_folder.save(target, first.config, weights, first.tokenizer_dir, overwrite=True)
    return target


def _merge_faces(folders: Sequence[tuple[str, Path]], target: Path) -> Path:
    config, weights = load_faces(folders[0][1])
    for stage, folder in folders[1:]:
        other, more = load_faces(folder)
        if other != config:
            raise WeightsError(f"{folder}: is of another shape than {folders[0][1]}")
        weights |= {part: more[part] for part in STAGES[stage].trains}
    save_faces(target, config, weights)
    return target
