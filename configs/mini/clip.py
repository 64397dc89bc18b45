"""The mini model, 2 of 5: image and text encoder, by which picture belongs to which words (as CLIP is trained).

Whole pictures with their captions, and faces with their face prompts: the features of a face must carry its expression
and pose, or there is nothing for IMR to edit. `dynamicid mini` runs it with the others; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the autoencoder's."""
    config = runpy.run_path(str(Path(__file__).with_name("autoencoder.py")))["get_config"]()
    config.stage = "clip"
    config.batch_size = 64
    config.data.image_size = 64  # what the image encoder sees
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.05
    config.log.pictures_every = 0
    return config
