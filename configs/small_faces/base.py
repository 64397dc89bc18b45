"""The small chain on faces, 2 of 4: the text-to-image base (UNet and text encoder), on the autoencoder of step 1.

`dynamicid chain` runs it after the ones before; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the first one."""
    config = runpy.run_path(str(Path(__file__).with_name("autoencoder.py")))["get_config"]()
    config.stage = "base"
    config.random_base = ""
    config.batch_size = 32
    config.steps = 800
    config.optimizer.ema_decay = 0.99
    config.log.pictures_every = 400
    return config
