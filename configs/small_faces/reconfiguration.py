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
    config.batch_size = 16
    config.steps = 300
    config.loss.targets = 4
    with config.ignore_type():
        config.model.imr_width = 128
    config.optimizer.learning_rate = 5e-4
    config.optimizer.ema_decay = 0.0
    return config
