"""Stages of the face pack and its judges (values of the one loop, as in stages.py).

stage               loss
detector            equation (3) of training/detection.py
recogniser          InfoNCE (METHOD section 5) between two pictures of one person, against the batch's other people
landmarks           mean |points - truth| in eye distances
judge_recogniser    as recogniser, on people of the split "judge"
judge_motion        cross entropy of expression and of turn

Pictures come drawn small (world/faces.py) and are enlarged here as OpenCV enlarges them. While training they are also
blurred, tinted and made noisy: a pack is shown photographs, and pictures that a diffusion model drew.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from dynamicid_jax.diffusion.losses import info_nce
from dynamicid_jax.models.face_configs import EXPRESSIONS
from dynamicid_jax.training.detection import detection_rows
from dynamicid_jax.training.examples import Batch, Constants, flat_groups
from dynamicid_jax.training.face_networks import FaceNetworks
from dynamicid_jax.training.stage import Aux, Setting, Stage
from dynamicid_jax.types import Params

NOISE, TINT = 0.04, 0.12  # largest deviation of the noise, largest change of a channel's strength
_BLUR = (0.06, 0.25, 0.38, 0.25, 0.06)


def look(
    pictures: UInt8[Array, "b s s 3"], size: int, key: Array, training: bool
) -> Float[Array, "b S S 3"]:
    """Small pictures as a network sees them: enlarged, in [-1, 1], spoilt a little while training."""
    x = pictures.astype(jnp.float32) / 127.5 - 1
    if training:
        x = _spoilt(x, key)
    return jax.image.resize(x, (x.shape[0], size, size, 3), "linear")


def _spoilt(x: Float[Array, "b s s 3"], key: Array) -> Float[Array, "b s s 3"]:
    keys = jax.random.split(key, 5)
    rows = (x.shape[0], 1, 1, 1)
    share = jnp.maximum(
        jax.random.uniform(keys[0], rows, minval=-1.0), 0
    )  # half of them stay sharp
    taps = jnp.asarray(_BLUR)
    soft = x
    for axis in (1, 2):
        soft = sum(taps[i] * jnp.roll(soft, i - 2, axis) for i in range(5))  # type: ignore[assignment]
    x = x + share * (soft - x)
    tint = 1 + jax.random.uniform(keys[1], (*rows[:3], 3), minval=-TINT, maxval=TINT)
    shade = jax.random.uniform(keys[2], rows, minval=-TINT, maxval=TINT)
    noise = jax.random.normal(keys[3], x.shape) * jax.random.uniform(keys[4], rows, maxval=NOISE)
    return jnp.clip(x * tint + shade + noise, -1, 1)


def detector_loss(
    networks: FaceNetworks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Where faces are."""
    size = networks.size("detector")
    pictures = look(batch["wide"], size, key, setting.training)
    outputs = networks.run(weights, "detector", pictures)
    boxes, points = batch["wide_boxes"] * size, batch["wide_points"] * size
    rows, metrics = detection_rows(outputs, boxes, points, size)
    return rows.mean(), Aux(rows, metrics)


def recogniser_loss(
    part: str,
    networks: FaceNetworks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Who it is: two pictures of one person belong together."""
    rows = flat_groups(batch)
    pictures = look(rows["aligned"], networks.size(part), key, setting.training)
    embedding = networks.run(weights, part, pictures)
    length = jnp.linalg.norm(embedding, axis=-1, keepdims=True)
    pairs = (embedding / jnp.maximum(length, 1e-6)).reshape(
        batch["person"].shape[0], -1, embedding.shape[-1]
    )
    first, second = pairs[:, 0], pairs[:, 1]
    loss = info_nce(first, second, batch["person"], setting.loss.temperature)
    alike = first @ second.T
    right = alike.argmax(1) == jnp.arange(alike.shape[0])
    others = (alike.sum() - jnp.trace(alike)) / max(alike.size - alike.shape[0], 1)
    metrics = {
        "rank_1": right.mean(),
        "same": jnp.trace(alike) / alike.shape[0],
        "others": others,
    }
    return loss.mean(), Aux(loss, metrics)


def landmarks_loss(
    networks: FaceNetworks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Where the 106 points are."""
    pictures = look(batch["framed"], networks.size("landmarks"), key, setting.training)
    marks = networks.run(weights, "landmarks", pictures).reshape(
        -1, *batch["framed_marks"].shape[1:]
    )
    error = (marks + 1) / 2 - batch["framed_marks"]
    apart = batch["eyes_apart"]
    rows = jnp.abs(error).mean((1, 2)) / apart
    distance = jnp.linalg.norm(error, axis=-1).mean(1) / apart
    return rows.mean(), Aux(rows, {"eye_distances": distance.mean()})


def judge_motion_loss(
    networks: FaceNetworks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """What it does: expression and turn."""
    pictures = look(batch["framed"], networks.size("judge_motion"), key, setting.training)
    logits = networks.run(weights, "judge_motion", pictures)
    rows: Any = 0.0
    metrics = {}
    parts = {"expression": logits[:, :EXPRESSIONS], "turn": logits[:, EXPRESSIONS:]}
    for name, scores in parts.items():
        said = batch[name]
        chosen = jnp.take_along_axis(jax.nn.log_softmax(scores), said[:, None], 1)[:, 0]
        rows = rows - chosen
        metrics[f"{name}_right"] = (scores.argmax(1) == said).mean()
    return rows.mean(), Aux(rows, metrics)


def _pairs(part: str) -> Stage:
    loss = partial(recogniser_loss, part)
    return Stage(part, (part,), (), ("aligned", "person"), loss, grouped=True, subject="faces")


FACE_STAGES = (
    Stage("detector", ("detector",), (), ("wide", "wide_boxes", "wide_points"), detector_loss, subject="faces"),
    _pairs("recogniser"),
    Stage("landmarks", ("landmarks",), (), ("framed", "framed_marks", "eyes_apart"), landmarks_loss, subject="faces"),
    _pairs("judge_recogniser"),
    Stage("judge_motion", ("judge_motion",), (), ("framed", "expression", "turn"), judge_motion_loss, subject="faces"),
)  # fmt: skip
