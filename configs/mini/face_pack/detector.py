r"""The mini face pack, 1 of 5: the detector, on pictures of one to three made-up people.

    dynamicid chain --workdir RUN \
        configs/mini/face_pack/{detector,recogniser,landmarks,judge_recogniser,judge_motion}.py
    dynamicid export --model RUN/judge_motion/model --to face_pack --out PACK

trains the pack and its two judges and writes them as ONNX files. Nothing has to be prepared: pictures are drawn, and
kept for the next epoch. Made for 2 CPU cores, where it was not run to the end: the shipped pack is from a GPU, by
`dynamicid mini` (docs/WORLD.md has its numbers).
"""

from ml_collections import ConfigDict

from dynamicid_jax.config import TrainConfig, to_config_dict


def get_config() -> ConfigDict:
    """The recipe."""
    config = to_config_dict(TrainConfig())
    config.stage = "detector"
    config.random_base = "faces"
    config.batch_size = 64
    config.steps = 1500
    config.dtype = "float32"
    config.data.image_size = 80
    config.data.sources = [{"path": "world/scenes", "pictures": 12000}]
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = 100
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema_decay = 0.995
    config.checkpoint.every = 250
    config.log.every = 25
    config.log.pictures_every = 0
    config.log.heldout_every = 500
    config.log.heldout_batches = 4
    config.log.tensorboard = False
    return config
