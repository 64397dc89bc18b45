r"""A small chain on photographs of faces at 64 px, 1 of 4: the autoencoder. Made for 2 CPU cores.

    dynamicid prepare --photos ORL --out DATASET --face_pack PACK --inside --split_by picture --heldout 2 \
        --expression_judge JUDGE &&
    dynamicid chain --data DATASET --workdir RUN configs/small_faces/{autoencoder,base,anchoring,reconfiguration}.py

runs all four, in 14 minutes on the ORL faces; docs/TRAINING.md has the numbers to expect. There is no
pretrained model at this size, so the chain makes its own base first. The image encoder stays random: its features carry
position and brightness, which is enough for the face tokens to learn from.
"""

from pathlib import Path

from ml_collections import ConfigDict

from dynamicid_jax.config import TrainConfig, to_config_dict


def get_config() -> ConfigDict:
    """The recipe."""
    config = to_config_dict(TrainConfig())
    config.stage = "autoencoder"
    config.random_base = str(Path(__file__).with_name("model.json"))
    config.batch_size = 16
    config.steps = 300
    config.dtype = "float32"
    config.data.image_size = 64
    config.data.workers = 0
    config.loss.kl_weight = 1e-3  # latents near deviation 1: model.json does not scale them
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = 50
    config.optimizer.weight_decay = 0.0
    config.checkpoint.every = 250
    config.log.every = 25
    config.log.pictures_every = config.steps  # one sheet, at the end: its sampler must be compiled
    config.log.first_look = 0
    config.log.heldout_every = 50
    return config
