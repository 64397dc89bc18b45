"""The mini face pack, 3 of 5: the 106 landmarks, on faces of made-up people.

`dynamicid chain` runs it with the others; detector.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the detector's."""
    config = runpy.run_path(str(Path(__file__).with_name("detector.py")))["get_config"]()
    config.stage = "landmarks"
    config.batch_size = 128
    config.data.image_size = 64
    config.data.sources = [{"path": "world/portraits", "people": 24000, "pictures": 24000}]
    return config
