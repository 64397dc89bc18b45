"""What a training of face networks starts from: those that are there, and fresh weights for the stage's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert.face_folder import load_faces
from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import from_dict
from dynamicid_jax.models.face_configs import PARTS, FaceNetsConfig
from dynamicid_jax.models.face_nets import face_net, seen_size
from dynamicid_jax.training.stage import Stage
from dynamicid_jax.types import Params

DEFAULT = "faces"  # the random_base of the shapes that are shipped


@dataclass
class FaceBase:
    """Face networks ready to be trained; see base_model.Base.

    Attributes:
        config: their shapes.
        weights: {part: nested float32 arrays on the host}.
        fresh: parts whose weights are new.
        tokenizer: None: nothing is read.
    """

    config: FaceNetsConfig
    weights: Params
    fresh: tuple[str, ...]
    tokenizer: None = None


def load_face_base(config: TrainConfig, stage: Stage, info: DatasetInfo) -> FaceBase:
    """The networks of `config.base`, or none where `config.random_base` gives shapes only.

    Raises:
        InputError: neither is given.
        WeightsError: a base that is damaged.
    """
    if config.base:
        shapes, weights = load_faces(Path(config.base))
    elif config.random_base == DEFAULT:
        shapes, weights = FaceNetsConfig(), {}
    elif config.random_base:
        values = read_json(Path(config.random_base))
        shapes, weights = from_dict(FaceNetsConfig, values, config.random_base), {}
    else:
        raise InputError(
            f'random_base: stage {stage.name!r} starts from shapes; give "{DEFAULT}" or a JSON file of them, or a '
            "folder of face networks as base"
        )
    fresh = tuple(part for part in stage.trains if part not in weights)
    drawn = {part: _draw(shapes, part, config.seed) for part in fresh}
    return FaceBase(shapes, {**weights, **drawn}, fresh)


def _draw(shapes: FaceNetsConfig, part: str, seed: int) -> Any:
    side = seen_size(shapes, part)
    key = jax.random.fold_in(jax.random.key(seed), PARTS.index(part))
    made = jax.jit(face_net(shapes, part).init)(key, jnp.zeros((1, side, side, 3)))
    return jax.tree.map(np.asarray, made["params"])


def face_spec(config: TrainConfig, stage: Stage, shapes: FaceNetsConfig) -> BatchSpec:
    """What the loader has to deliver."""
    targets = config.loss.targets if stage.grouped else 0
    return BatchSpec(stage.fields, config.data.image_size, targets=targets)
