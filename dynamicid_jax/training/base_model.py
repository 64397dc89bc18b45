"""What a training starts from: a base model, the recipe's changes to it, and fresh weights for what is new."""

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.config import ModelChanges, TrainConfig
from dynamicid_jax.convert.expected import expected_shapes
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.trained_on import Trained
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.errors import InputError, MissingPartError, WeightsError
from dynamicid_jax.inference.random_model import CONFIGS, known_merges, random_weights
from dynamicid_jax.inference.request import check_number
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import write_tokenizer
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    IMRConfig,
    KeypointEncoderConfig,
    ModelConfig,
    from_dict,
)
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.training.people import people_of
from dynamicid_jax.training.stage import Stage
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

LDC_PROMPT = (
    "portrait, cinematic photo, film, professional, 4k, highly detailed"  # METHOD section 5
)


@dataclass
class Base:
    """A model ready to be trained.

    Attributes:
        config: with the recipe's changes.
        weights: {component: nested float32 arrays on the host}, every component that the config has.
        tokenizer: of its text encoder.
        fresh: components whose weights are new.
        ldc_prompt: of LDC.
        trained_on: whom the trained model will have seen: who the base has, and the recipe's people.
    """

    config: ModelConfig
    weights: Params
    tokenizer: Tokenizer
    fresh: tuple[str, ...] = ()
    ldc_prompt: str = LDC_PROMPT
    trained_on: Trained = field(default_factory=Trained)


def load_base(config: TrainConfig, stage: Stage, info: DatasetInfo) -> Base:
    """Loads the base, applies the recipe's changes, and draws what is missing for the stage.

    Args:
        config: the recipe.
        stage: what is to train.
        info: of the data that it is to train on.

    Raises:
        InputError: no base, or data that the model was not made for.
        MissingPartError: the base lacks a network that the stage reads but does not train.
        WeightsError: a base that is damaged, or an adapter that does not fit it or the recipe.
    """
    model, weights, tokenizer_dir = _read(config)
    if config.model.anew:
        model, weights = _without(model, weights, stage)
    before = model
    model = with_changes(model, config.model, stage, info)
    for part in stage.needs:
        if part not in weights:
            raise MissingPartError(_lacks(config, stage, part))
    fresh = tuple(part for part in stage.trains if part not in weights)
    known = set(weights)
    if model != before:
        _check_kept(before, model, known - set(fresh))
    if fresh:
        weights = {**weights, **draw(model, fresh, weights, config.seed)}
    tokenizer = Tokenizer(tokenizer_dir, model.text_encoder.max_length)
    prompt = config.loss.ldc_prompt or LDC_PROMPT
    return Base(model, weights, tokenizer, fresh, prompt, people_of(config))


def _read(config: TrainConfig) -> tuple[ModelConfig, Params, Path]:
    """Config, weights and tokenizer folder of the base."""
    if config.base:
        loaded = load_any(config.base, image_encoder=config.image_encoder or None, place=np.asarray)
        return loaded.config, loaded.weights, loaded.tokenizer_dir
    if not config.random_base:
        raise InputError(
            "base: no model to start from; give --config.base=FOLDER (a model folder, a published checkpoint "
            "or a diffusers folder), or --config.random_base=tiny to try the machinery"
        )
    model = random_config(config.random_base)
    folder = Path(config.tokenizer) if config.tokenizer else Path(tempfile.mkdtemp())
    if not config.tokenizer:
        text = model.text_encoder
        write_tokenizer(folder, text.max_length, known_merges(text))
    return model, random_weights(model, config.seed), folder


ON_TOP = {
    "anchoring": ("adapter", "face_projection", "imr", "keypoint_encoder"),
    "reconfiguration": ("imr", "keypoint_encoder"),
}
"""What a stage draws anew, and what was trained on top of it."""


def _without(model: ModelConfig, weights: Params, stage: Stage) -> tuple[ModelConfig, Params]:
    """The base without the parts that the stage makes and those that build on them."""
    gone = {*ON_TOP[stage.name], "keypoint_stats"}
    kept = {part: tree for part, tree in weights.items() if part not in gone}
    return replace(model, **dict.fromkeys(gone - {"keypoint_stats"})), kept  # type: ignore[arg-type]


def random_config(name: str) -> ModelConfig:
    """The config of a random base: a name, or a JSON file.

    Raises:
        InputError: neither.
    """
    if name in CONFIGS:
        return CONFIGS[name]()
    try:
        values = json.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"random_base {name!r}: expected {', '.join(CONFIGS)} or a JSON file with a model config"
        ) from None
    return from_dict(ModelConfig, values, name)


def with_changes(
    model: ModelConfig, changes: ModelChanges, stage: Stage, info: DatasetInfo
) -> ModelConfig:
    """The base's config with what the stage adds and the recipe changes.

    Raises:
        InputError: data that the model was not made for, or a guidance out of range.
        MissingPartError: the base lacks a network that the stage builds on.
    """
    like = random_config(changes.shapes) if changes.shapes else None
    if "adapter" in stage.trains:
        model = replace(model, **_adapter_configs(model, changes, info, like))
    if "imr" in stage.trains:
        model = replace(model, **_imr_configs(model, changes, info, like))
    if info.embedding_width:
        _check_data(model, stage, info)
    scale = changes.guidance_scale
    if scale is not None:
        check_number(scale, "config.model.guidance_scale")
    sampling = _changed(model.sampling, guidance_scale=scale)
    return replace(model, sampling=sampling, weights="trained")


def _adapter_configs(
    model: ModelConfig, changes: ModelChanges, info: DatasetInfo, like: ModelConfig | None
) -> dict[str, Any]:
    """Adapter and face projection; where they are new, the model takes over the data's conventions."""
    if model.image_encoder is None:
        raise MissingPartError(
            "base: it has no image encoder; pass --config.image_encoder=FOLDER, a CLIP vision folder"
        )
    new = model.face_projection is None
    projection = model.face_projection or replace(
        (like and like.face_projection) or FaceProjectionConfig(),
        id_width=info.embedding_width or 512,
        image_width=model.image_encoder.width,
        context_width=model.unet.context_width,
    )
    adapter = _changed(
        model.adapter or (like and like.adapter) or AdapterConfig(),
        gate_threshold=changes.gate_threshold,
        lora_rank=changes.lora_rank,
        lora_alpha=changes.lora_alpha,
    )
    projection = _changed(
        projection, tokens_per_person=changes.tokens_per_person, depth=changes.projection_depth
    )
    configs = {"adapter": adapter, "face_projection": projection}
    conventions = {"id_channels": info.id_channels, "reference_crop": info.reference_crop}
    return configs | conventions if new else configs


def _check_data(model: ModelConfig, stage: Stage, info: DatasetInfo) -> None:
    """Data must have been prepared as the model reads it."""
    said = [("id_channels", info.id_channels), ("reference_crop", info.reference_crop)]
    if model.face_projection is not None and "id_embedding" in stage.fields:
        for name, value in said:
            if getattr(model, name) != value:
                raise InputError(
                    f"data: prepared with {name} {value!r}, and the model was trained with "
                    f"{getattr(model, name)!r}; prepare the photos again with the model's"
                )
        if info.embedding_width != model.face_projection.id_width:
            raise InputError(
                f"data: its id embeddings are {info.embedding_width} wide, and the face projection takes "
                f"{model.face_projection.id_width}; prepare the photos with the recogniser of the model's face pack"
            )
    keypoints = model.keypoint_encoder
    if "raster" in stage.fields and keypoints and keypoints.num_landmarks != info.landmark_set:
        raise InputError(
            f"data: its rasters hold {info.landmark_set} landmarks, and the model's keypoint encoder was made for "
            f"{keypoints.num_landmarks}; prepare the photos with a pack of that landmark set"
        )


def _imr_configs(
    model: ModelConfig, changes: ModelChanges, info: DatasetInfo, like: ModelConfig | None
) -> dict[str, Any]:
    """IMR and keypoint encoder."""
    if model.face_projection is None or model.adapter is None:
        raise MissingPartError(
            "base: reconfiguration needs a model whose adapter is trained already; train the anchoring stage first "
            "and give its WORKDIR/model as --config.base"
        )
    x = model.face_projection.context_width
    keypoints = model.keypoint_encoder or replace(
        (like and like.keypoint_encoder) or KeypointEncoderConfig(),
        width=x,
        num_landmarks=info.landmark_set,
    )
    imr = model.imr or replace(
        (like and like.imr) or IMRConfig(),
        tokens_per_person=model.face_projection.tokens_per_person,
        context_width=x,
        keypoint_width=keypoints.width,
        text_width=model.text_encoder.width,
        null_keypoint=changes.null_keypoint,
    )
    imr = _changed(
        imr,
        width=changes.imr_width,
        disentangle_depth=changes.imr_depth,
        entangle_depth=changes.imr_depth,
        motion=changes.imr_motion,
    )
    return {"imr": imr, "keypoint_encoder": keypoints}


def _changed(config: Any, **changes: Any) -> Any:
    return replace(config, **{name: value for name, value in changes.items() if value is not None})


def _lacks(config: TrainConfig, stage: Stage, part: str) -> str:
    remedy = {
        "image_encoder": "pass --config.image_encoder=FOLDER, a CLIP vision folder",
        "adapter": "train the anchoring stage first and give its WORKDIR/model as --config.base",
        "face_projection": "train the anchoring stage first and give its WORKDIR/model as --config.base",
    }.get(part, "use a whole model")
    where = config.base or config.random_base
    return f"base {where!r}: stage {stage.name!r} needs its {part}, which it lacks; {remedy}"


def _check_kept(before: ModelConfig, after: ModelConfig, kept: set[str]) -> None:
    """Weights that are kept must still fit."""
    old, new = expected_shapes(before), expected_shapes(after)
    for part in sorted(kept & old.keys() & new.keys()):
        shapes = {path: leaf.shape for path, leaf in old[part].items()}
        wanted = {path: leaf.shape for path, leaf in new[part].items()}
        if shapes != wanted:
            wrong = sorted(path for path in shapes | wanted if shapes.get(path) != wanted.get(path))
            raise WeightsError(
                f"base: its {part} does not fit config.model ({len(wrong)} tensors, first {wrong[0]}: base "
                f"{shapes.get(wrong[0])}, wanted {wanted.get(wrong[0])}); leave config.model at None to keep the "
                "base's, or start from a base without this part"
            )


def draw(model: ModelConfig, parts: tuple[str, ...], weights: Params, seed: int) -> Params:
    """Fresh weights for some components; Wk and Wv start from the UNet's own cross-attention (METHOD section 5)."""
    key = jax.random.key(seed)
    made: Params = {}
    if "adapter" in parts:
        made["adapter"] = _adapter(model, weights["unet"], jax.random.fold_in(key, 1))
    if "face_projection" in parts:
        face = model.face_projection
        assert face is not None
        inputs = jnp.zeros((1, face.id_width)), jnp.zeros((1, 2, face.image_width))
        made["face_projection"] = _init(FaceProjection(face), jax.random.fold_in(key, 2), *inputs)[
            "params"
        ]
    if "keypoint_encoder" in parts:
        assert model.keypoint_encoder is not None
        net = KeypointEncoder(model.keypoint_encoder)
        drawn = _init(net, jax.random.fold_in(key, 3), jnp.zeros((2, 96, 96, 1)))
        made |= {"keypoint_encoder": drawn["params"], "keypoint_stats": drawn["batch_stats"]}
    if "imr" in parts:
        imr = model.imr
        assert imr is not None
        tokens = jnp.zeros((1, imr.tokens_per_person, imr.context_width))
        motion = jnp.zeros((1, imr.keypoint_width)), jnp.zeros((1, imr.text_width))
        made["imr"] = _init(IMR(imr), jax.random.fold_in(key, 4), tokens, *motion, *motion)[
            "params"
        ]
    return jax.tree.map(np.asarray, made)


def _init(net: Any, key: jax.Array, *inputs: Any) -> Params:
    return jax.jit(net.init)(key, *inputs)


def _adapter(model: ModelConfig, unet: Params, key: jax.Array) -> Params:
    """LoRA as Linen draws it (only the adapter is computed), Wk and Wv copied from the text's k and v."""
    side = 2 ** (len(model.unet.block_channels) - 1)
    x = model.unet.context_width
    inputs = (
        jnp.zeros((1, side, side, model.unet.in_channels)),
        jnp.zeros((1,)),
        jnp.zeros((1, 1, x)),
        jnp.zeros((1, 1, 1, x)),
    )
    net = UNet(model.unet, model.adapter)
    drawn = flatten(jax.jit(lambda k: net.init(k, *inputs)["adapter"])(key))
    kernels = flatten(unet)
    for path in drawn:
        for face, text in (("face_k", "to_k"), ("face_v", "to_v")):
            if path.endswith(f"{face}/kernel"):
                drawn[path] = np.array(kernels[path.replace(face, text)])
    return nest(drawn)


def constants(networks: Networks, base: Base, frozen: Params) -> dict[str, Any]:
    """The fixed inputs of training/examples.py, computed once."""
    ids = jnp.asarray(base.tokenizer(["", base.ldc_prompt]))
    made: dict[str, Any] = {"empty_ids": ids[:1]}
    if "text_encoder" in frozen:
        states = jax.jit(lambda w, i: networks.text(w, i)[0])(frozen, ids)
        made |= {"empty_text": states[:1], "ldc_text": states[1:]}
    image = base.config.image_encoder
    if image is not None and "image_encoder" in frozen:
        black = jnp.zeros((1, image.image_size, image.image_size, 3))
        made["null_features"] = jax.jit(networks.image_features)(frozen, black)
    return jax.tree.map(np.asarray, made)
