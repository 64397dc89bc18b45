"""The mini face pack's judges, 5 of 5: expression and pose, a transformer, on other made-up people and another seed.

`dynamicid chain` runs it with the others; detector.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the landmarks'."""
    config = runpy.run_path(str(Path(__file__).with_name("landmarks.py")))["get_config"]()
    config.stage = "judge_motion"
    config.seed = 1
    config.data.sources = [
        {"path": "world/portraits", "split": "judge", "people": 24000, "pictures": 24000}
    ]
    return config
