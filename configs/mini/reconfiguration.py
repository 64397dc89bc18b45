"""The mini model, 5 of 5: METHOD's stage 2, on people in the 35 cells of expression and pose.

`dynamicid mini` runs it with the others; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from stage 1's."""
    config = runpy.run_path(str(Path(__file__).with_name("anchoring.py")))["get_config"]()
    config.stage = "reconfiguration"
    config.model.quiet_start = False
    config.batch_size = 8
    config.loss.targets = 3
    config.loss.twin_weight = 0.0
    config.steps = 10000
    config.data.sources = [{"path": "world/variface"}]
    config.loss.ldc_prompt = "one person"  # words that this model has learned
    config.loss.ldc_weight = 10.0  # predictions of v differ by less than tokens do
    config.optimizer.rule = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup = 200
    return config
