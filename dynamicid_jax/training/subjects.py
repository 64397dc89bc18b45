"""Kinds of models that the one loop trains: a text-to-image model with its people, or face networks.

A subject is a value; a stage names its own. Everything else about a run is the same for all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.face_folder import save_faces
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.training.base_model import Base, constants, load_base
from dynamicid_jax.training.face_base import FaceBase, face_spec, load_face_base
from dynamicid_jax.training.face_networks import FaceNetworks
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.training.stage import Stage
from dynamicid_jax.types import Params


@dataclass(frozen=True)
class Subject:
    """How one kind of model is loaded, run and saved.

    Attributes:
        load: (recipe, stage, what holds for the data) to a base: config, weights, tokenizer.
        networks: (recipe, model's config) to the networks that losses call.
        spec: (recipe, stage, model's config) to what a batch holds.
        constants: (networks, base, frozen weights) to the losses' fixed inputs.
        save: (folder, base, all weights): writes the finished model.
        draws: whether sample pictures can be drawn while it trains.
    """

    load: Callable[[TrainConfig, Stage, DatasetInfo], Any]
    networks: Callable[[TrainConfig, Any], Any]
    spec: Callable[[TrainConfig, Stage, Any], BatchSpec]
    constants: Callable[[Any, Any, Params], dict[str, Any]]
    save: Callable[[Path, Any, Params], None]
    draws: bool


def batch_spec(config: TrainConfig, stage: Stage, model: ModelConfig) -> BatchSpec:
    """What the loader has to deliver to a stage of a text-to-image model."""
    image, keypoints = model.image_encoder, model.keypoint_encoder
    return BatchSpec(
        fields=stage.fields,
        image_size=config.data.image_size,
        reference_size=image.image_size if image else 0,
        targets=config.loss.targets if stage.grouped else 0,
        trains=stage.trains,
        landmark_set=keypoints.num_landmarks if keypoints and "raster" in stage.fields else 0,
    )


def make_networks(config: TrainConfig, model: ModelConfig) -> Networks:
    """The model's networks as the recipe runs them."""
    return Networks(model, jnp.dtype(config.dtype), config.remat, config.model.gate)


def _save_model(folder: Path, base: Base, weights: Params) -> None:
    config = replace(base.config, weights="trained")
    model_folder.save(
        folder,
        config,
        weights,
        base.tokenizer.folder,
        overwrite=True,
        trained_on=base.trained_on,
    )


def _face_networks(config: TrainConfig, shapes: Any) -> FaceNetworks:
    return FaceNetworks(shapes, jnp.dtype(config.dtype))


def _no_constants(networks: FaceNetworks, base: FaceBase, frozen: Params) -> dict[str, Any]:
    return {}


def _save_faces(folder: Path, base: FaceBase, weights: Params) -> None:
    save_faces(folder, base.config, weights)


SUBJECTS = {
    "diffusion": Subject(load_base, make_networks, batch_spec, constants, _save_model, draws=True),
    "faces": Subject(
        load_face_base, _face_networks, face_spec, _no_constants, _save_faces, draws=False
    ),
}
