"""The mini face pack's judges, 4 of 5: another recogniser, a transformer, on other made-up people and another seed.

`dynamicid chain` runs it with the others; detector.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the recogniser's."""
    config = runpy.run_path(str(Path(__file__).with_name("recogniser.py")))["get_config"]()
    config.stage = "judge_recogniser"
    config.seed = 1
    config.data.sources = [
        {"path": "world/portraits", "split": "judge", "people": 6000, "pictures": 48000}
    ]
    return config
