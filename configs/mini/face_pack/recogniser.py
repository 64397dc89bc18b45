"""The mini face pack, 2 of 5: the recogniser, on pairs of pictures of made-up people.

`dynamicid chain` runs it with the others; detector.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the detector's."""
    config = runpy.run_path(str(Path(__file__).with_name("detector.py")))["get_config"]()
    config.stage = "recogniser"
    config.batch_size = 128
    config.loss.targets = 1
    config.data.image_size = 56
    config.data.sources = [{"path": "world/portraits", "people": 6000, "pictures": 48000}]
    return config
