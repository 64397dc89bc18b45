"""The small chain on faces, 4 of 4: METHOD's stage 2 on the adapter of step 3.

`dynamicid chain` runs it after the ones before; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from stage 1's."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.stage = "reconfiguration"
    config.batch_size = 8
    config.steps = 120
    config.log.pictures_every = config.steps
    config.loss.targets = 2
    with config.ignore_type():
        config.model.imr_width = 128
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup = 20
    config.optimizer.ema_decay = 0.0
    config.log.heldout_every = 20
    return config
