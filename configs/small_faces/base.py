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
    config.steps = 500
    config.optimizer.ema_decay = 0.99
    config.log.pictures_every = 0  # the next stage draws, with faces
    return config
