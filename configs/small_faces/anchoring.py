"""The small chain on faces, 3 of 4: METHOD's stage 1 on the base of step 2.

`dynamicid chain` runs it after the ones before; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the base's."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.stage = "anchoring"
    config.steps = 500
    config.log.pictures_every = config.steps
    with config.ignore_type():
        config.model.lora_rank = 16
        config.model.projection_depth = 2
    return config
