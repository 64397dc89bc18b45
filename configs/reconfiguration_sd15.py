"""Stage 2, reconfiguration, on SD1.5 at 512 px: trains IMR and its keypoint encoder on top of a finished stage 1.

    python train.py --config configs/reconfiguration_sd15.py --workdir RUN2 \
        --config.base=RUN1/model --config.data.sources='[{"path": "DATASET"}]'

DATASET needs several pictures of every person. A step takes 16 persons with 32 targets each; the UNet's passes over the
512 targets run in 16 parts (optimizer.accumulation), which changes memory and nothing else. Hardware as for stage 1.
Time and numbers to expect: not measured yet.
"""

from ml_collections import ConfigDict

from dynamicid_jax.config import TrainConfig, to_config_dict


def get_config() -> ConfigDict:
    """The recipe."""
    config = to_config_dict(TrainConfig())
    config.stage = "reconfiguration"
    config.batch_size = 16
    config.steps = 50_000
    config.dtype = "bfloat16"
    config.remat = "blocks"
    config.data.image_size = 512
    config.loss.targets = 32
    config.loss.contrastive_weight = 0.1
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 1e-2
    config.optimizer.warmup = 1000
    config.optimizer.accumulation = 16
    config.optimizer.ema_decay = 0.9999
    return config
