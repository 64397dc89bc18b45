"""The real training step of a recipe, with shapes in the place of arrays: nothing is loaded, drawn or computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert.expected import expected_shapes
from dynamicid_jax.data.batch import FEATURES
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.training.base_model import with_changes
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.training.setup import check_parts, find_stage
from dynamicid_jax.training.sharding import per_device_bytes
from dynamicid_jax.training.stage import Stage
from dynamicid_jax.training.state import TrainState, split
from dynamicid_jax.training.step import Placed, Program, place_step, train_step
from dynamicid_jax.trees import nest

Shape = jax.ShapeDtypeStruct

# What a precomputed feature makes needless: the raw fields that a frozen network would read.
READS = {
    "vae": ("pixels", "twin_pixels"),
    "text_encoder": ("text_ids", "face_text_ids"),
    "image_encoder": ("reference", "twin_reference"),
}


@dataclass(frozen=True)
class AbstractStep:
    """A step and the shapes that it takes.

    Attributes:
        program: the run, its stage and its networks.
        placed: the jitted step and where its arguments lie.
        frozen: {"weights", "constants"}: shapes with shardings.
        state: likewise.
        batch: likewise.
    """

    program: Program
    placed: Placed
    frozen: Mapping[str, Any]
    state: TrainState
    batch: Mapping[str, Shape]

    def lower(self) -> Any:
        """The program for the mesh's devices, not yet compiled."""
        jitted: Any = self.placed.step
        return jitted.lower(*self.arguments)

    @property
    def step(self) -> Callable[..., Any]:
        """The same function without jit: what flops are counted in."""
        return partial(train_step, self.program)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the step is called with."""
        return self.frozen, self.state, self.batch

    def bytes_per_device(self) -> dict[str, int]:
        """What lies in a device's memory between steps, before the layout's own padding."""
        state = self.state
        return {
            "frozen parameters": per_device_bytes(self.frozen),
            "trained parameters": per_device_bytes((state.trained, state.stats)),
            "average of parameters": per_device_bytes(state.ema),
            "optimizer": per_device_bytes(state.opt_state),
            "batch": per_device_bytes(self.batch),
        }

    def trained_values(self) -> int:
        """Number of trained parameters, all devices together."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.state.trained))


def abstract_step(
    config: TrainConfig, model: ModelConfig, mesh: Mesh, features: bool = True
) -> AbstractStep:
    """The step of a recipe on a mesh.

    Args:
        config: the recipe.
        model: the base's shape, before the recipe's changes.
        mesh: of devices that need not be attached.
        features: whether a batch holds precomputed features or pictures and texts.

    Raises:
        InputError: an unknown stage, a recipe that contradicts itself, or a batch that does not divide by the devices.
    """
    stage = find_stage(config)
    check_parts(config, stage, mesh)
    points = model.keypoint_encoder.num_landmarks if model.keypoint_encoder else 106
    info = DatasetInfo(landmark_set=points, embedding_width=0)  # data that fits, whatever it is
    model = with_changes(model, config.model, stage, info)
    networks = Networks(model, jnp.dtype(config.dtype), config.remat, config.model.gate)
    program = Program(config, stage, networks)
    batch = batch_shapes(config, model, stage, features)
    weights = _weights(model, stage, set(batch))
    trained, stats, rest = split(weights, stage)
    rest = jax.tree.map(lambda leaf: Shape(leaf.shape, networks.dtype), rest)
    frozen = {"weights": rest, "constants": _constants(model, networks.dtype)}
    state = jax.eval_shape(program.fresh_state, trained, stats)
    placed = place_step(program, mesh, frozen, state)
    return AbstractStep(
        program,
        placed,
        jax.tree.map(_placed, frozen, placed.frozen),
        jax.tree.map(_placed, state, placed.state),
        {name: _placed(leaf, placed.batch) for name, leaf in batch.items()},
    )


def _placed(leaf: Shape, sharding: Any) -> Shape:
    return Shape(leaf.shape, leaf.dtype, sharding=sharding)


def _weights(model: ModelConfig, stage: Stage, fields: set[str]) -> dict[str, Any]:
    """Shapes of what the stage trains and of the frozen networks that its batch still needs."""
    shapes = expected_shapes(model)
    needless = {
        part
        for part, reads in READS.items()
        if part not in stage.trains and not fields.intersection(reads)
    }
    wanted = set(stage.trains) | (set(stage.needs) - needless)
    if "keypoint_encoder" in wanted:
        wanted.add("keypoint_stats")
    return {part: nest(shapes[part]) for part in sorted(wanted & set(shapes))}


def batch_shapes(
    config: TrainConfig, model: ModelConfig, stage: Stage, features: bool
) -> dict[str, Shape]:
    """Global shapes of a batch, by the table in data/batch.py."""
    text, image, face = model.text_encoder, model.image_encoder, model.face_projection
    side, cells = config.data.image_size, config.data.image_size // model.vae.downscale
    table: dict[str, tuple[tuple[int, ...], Any]] = {
        "pixels": ((side, side, 3), jnp.uint8),
        "moments": ((cells, cells, 2 * model.vae.latent_channels), jnp.float16),
        "text_ids": ((text.max_length,), jnp.int32),
        "twin_pixels": ((side, side, 3), jnp.uint8),
        "twin_text_ids": ((text.max_length,), jnp.int32),
        "text_states": ((text.max_length, text.width), jnp.float16),
        "id_embedding": ((face.id_width if face else 512,), jnp.float32),
        "twin_id_embedding": ((face.id_width if face else 512,), jnp.float32),
        "face_box": ((4,), jnp.float32),
        "raster": ((96, 96), jnp.int8),
        "face_text_ids": ((text.max_length,), jnp.int32),
        "face_text": ((text.width,), jnp.float16),
    }
    if image is not None:
        tokens = (image.image_size // image.patch_size) ** 2 + 1
        table["reference"] = ((image.image_size, image.image_size, 3), jnp.uint8)
        table["twin_reference"] = table["reference"]
        table["image_features"] = ((tokens, image.width), jnp.float16)
    # A frozen network's output can be computed beforehand, a trained one's cannot.
    trained = {field for part in stage.trains for field in READS.get(part, ())}
    group = (1 + config.loss.targets,) if stage.grouped else ()
    shapes = {}
    for name in stage.fields:
        if name == "person":
            shapes[name] = Shape((config.batch_size,), jnp.int32)
            continue
        chosen = FEATURES.get(name, name) if features and name not in trained else name
        shape, dtype = table[chosen]
        shapes[chosen] = Shape((config.batch_size, *group, *shape), dtype)
    return shapes


def _constants(model: ModelConfig, dtype: Any) -> dict[str, Shape]:
    """The fixed inputs of training/examples.py."""
    text, image = model.text_encoder, model.image_encoder
    states = Shape((1, text.max_length, text.width), dtype)
    constants = {
        "empty_ids": Shape((1, text.max_length), jnp.int32),
        "empty_text": states,
        "ldc_text": states,
        "updates": Shape((), jnp.int32),
    }
    if image is not None:
        tokens = (image.image_size // image.patch_size) ** 2 + 1
        constants["null_features"] = Shape((1, tokens, image.width), dtype)
    return constants
