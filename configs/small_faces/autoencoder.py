"""A small chain on photographs of faces at 32 px, 1 of 4: the autoencoder. Made for 2 CPU cores.

    dynamicid chain --workdir RUN --data DATASET configs/small_faces/{autoencoder,base,anchoring,reconfiguration}.py

runs all four; docs/TRAINING.md has the time and the numbers to expect on the ORL faces. There is no pretrained model at
this size, so the chain makes its own base first. The image encoder stays random: its features carry position and
brightness, which is enough for the face tokens to learn from.
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
    config.steps = 600
    config.dtype = "float32"
    config.data.image_size = 32
    config.data.workers = 0
    config.loss.kl_weight = 1e-4
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = 50
    config.optimizer.weight_decay = 0.0
    config.checkpoint.every = 200
    config.log.every = 50
    config.log.pictures_every = 300
    config.log.heldout_every = 200
    return config
