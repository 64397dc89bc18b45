"""Stage 1, anchoring, on SD1.5 at 512 px: trains the adapter (LoRA, Wk, Wv) and the face projection.

    python train.py --config configs/anchoring_sd15.py --workdir RUN1 \
        --config.base=SD15_FOLDER --config.image_encoder=CLIP_VIT_H_FOLDER \
        --config.data.sources='[{"path": "DATASET"}]'

Hardware: 8 pictures per 16 GB chip fit (eight v5e chips for this batch; docs/TPU.md has more); where memory is short,
--config.remat=blocks costs 1.4 times the arithmetic. Time and numbers to expect: not measured yet. Precompute the
frozen features first (`dynamicid precompute`): the autoencoder and the image encoder cost as much as the step itself.
"""

from ml_collections import ConfigDict

from dynamicid_jax.config import TrainConfig, to_config_dict


def get_config() -> ConfigDict:
    """The recipe."""
    config = to_config_dict(TrainConfig())
    config.stage = "anchoring"
    config.batch_size = 64
    config.steps = 100_000
    config.dtype = "bfloat16"
    config.data.image_size = 512
    config.model.lora_rank = 128
    config.model.tokens_per_person = 4
    config.optimizer.learning_rate = 1e-4
    config.optimizer.weight_decay = 1e-2
    config.optimizer.warmup = 1000
    config.optimizer.ema_decay = 0.9999
    return config
