"""The mini model, 3 of 5: the text-to-image UNet, on captioned scenes of one to three people.

The text encoder goes on learning; its captions are held to what the image encoder sees, so that the two still compare.
`dynamicid mini` runs it with the others; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the autoencoder's."""
    config = runpy.run_path(str(Path(__file__).with_name("autoencoder.py")))["get_config"]()
    config.stage = "base"
    config.batch_size = 16
    config.steps = 40000
    config.data.sources = [{"path": "world/scenes", "silence": 0.15}]
    config.loss.drop_text = 0.05
    config.loss.drop_both = 0.05
    config.loss.caption_weight = 0.01
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.01
    config.optimizer.ema_decay = 0.999
    config.log.every = 50
    return config
