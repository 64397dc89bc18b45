"""The shape of a recipe's base model, without its weights."""

from dataclasses import replace

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert import model_folder, published
from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.random_model import sd15_config
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.packaged import model_path
from dynamicid_jax.training.base_model import random_config
from dynamicid_jax.training.stages import STAGES


def base_shape(config: TrainConfig) -> tuple[ModelConfig, str]:
    """The model that a recipe starts from, and a remark where it had to be guessed.

    A plan may be made where the base is not: SD1.5 with the published DynamicID's parts is taken then.

    Raises:
        InputError: a random base that is neither known nor a file, or a stage that is not of such a model.
        WeightsError: a base whose configs are damaged or not supported.
    """
    if config.stage in STAGES and STAGES[config.stage].subject != "diffusion":
        raise InputError(
            f"stage {config.stage!r}: face networks fit any machine; there is nothing to plan"
        )
    if config.random_base and not config.base:
        return random_config(config.random_base), ""
    root = model_path(config.base)
    if config.base and model_folder.is_model_folder(root):
        return _whole(model_folder.read_config(root)), ""
    if config.base and (folder := published.base_folder(root)) is not None:
        return _whole(published.read_base(folder)[0]), ""
    return sd15_config(), f"base {config.base!r} is not here; planned with the shape of SD1.5"


def _whole(model: ModelConfig) -> ModelConfig:
    """What a base lacks, at its usual size."""
    usual = sd15_config()
    width = model.unet.context_width
    image = model.image_encoder or usual.image_encoder
    assert image is not None
    assert usual.face_projection is not None
    projection = replace(usual.face_projection, image_width=image.width, context_width=width)
    return replace(
        model,
        image_encoder=image,
        adapter=model.adapter or usual.adapter,
        face_projection=model.face_projection or projection,
    )
