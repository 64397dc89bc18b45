r"""The mini model, 1 of 5: the autoencoder, on made-up people at 96 px.

    dynamicid mini --workdir RUN --device-minutes 25       everything, on one GPU of the H200's class
    dynamicid mini --workdir RUN --device-minutes 300      the same on two CPU cores, in as many parts as one likes

budgets.py has every part's share of the time; docs/MINI.md has what came out. A recipe alone is for 2 CPU cores and
runs like any other: python train.py --config configs/mini/anchoring.py --workdir RUN.
"""

from ml_collections import ConfigDict

from dynamicid_jax.config import TrainConfig, to_config_dict


def get_config() -> ConfigDict:
    """The recipe."""
    config = to_config_dict(TrainConfig())
    config.stage = "autoencoder"
    config.random_base = "mini_base"
    config.batch_size = 16
    config.steps = 4000
    config.dtype = "float32"
    config.data.image_size = 96
    config.data.sources = [{"path": "world/scenes"}]
    config.loss.kl_weight = 1e-3  # latents near deviation 1, so that nothing has to scale them
    config.loss.face_weight = 6.0  # most of what has to be learned is in faces
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = 200
    config.optimizer.weight_decay = 0.0
    config.optimizer.ema_decay = 0.995
    config.checkpoint.every = 1000
    config.log.every = 25
    config.log.pictures_every = 2000
    config.log.heldout_every = 500
    config.log.heldout_batches = 4
    config.log.first_look = 40  # two cores come so far with anchoring in eight or nine minutes
    config.log.tensorboard = False
    return config
