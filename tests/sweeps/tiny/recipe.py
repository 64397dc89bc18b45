"""The mini model's anchoring on the smallest model, two steps: a training that costs next to nothing."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

MINI = Path(__file__).parents[3] / "configs" / "mini"


def get_config() -> ConfigDict:
    """The recipe: what differs from the mini model's."""
    config = runpy.run_path(str(MINI / "anchoring.py"))["get_config"]()
    config.base = ""
    config.random_base = "nano"
    config.model.shapes = "nano"
    config.batch_size = 8
    config.steps = 2
    config.data.image_size = 32
    config.data.sources[0]["people"] = 8
    config.data.sources[0]["pictures"] = 8
    config.log.every = 1
    config.log.heldout_every = 0
    config.log.pictures_every = 0
    return config
