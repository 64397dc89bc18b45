"""The mini model, 4 of 5: METHOD's stage 1, on pictures of single people only.

Alone it starts from the packaged mini model's base and trains at once.
`dynamicid mini` runs it with the others; autoencoder.py has the command.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe: what differs from the base's."""
    config = runpy.run_path(str(Path(__file__).with_name("base.py")))["get_config"]()
    config.stage = "anchoring"
    config.base = "mini"
    config.data.face_nets = "mini"
    config.model.shapes = "mini"
    config.model.anew = True
    config.model.quiet_start = True
    config.steps = 20000
    # Half of the time nothing is said of expression and pose: the face tokens have to tell. Shirt and background are
    # always said: where they were not, the tokens learned to tell them too, and the gate opened outside the face.
    config.data.sources = [
        {
            "path": "world/portraits",
            "silence": 0.5,
            "silent": ("expression", "pose"),
            "twin_people": 0.8,
        }
    ]
    # METHOD has no pairs: beside each picture the same one of somebody else, or, in the rest, in another expression. An
    # update takes twice as long, and other people's faces cost more after 50 of them than after 200 without
    # (docs/MINI.md). Off with loss.twin_weight=0 and data.sources.0.twin_people=0, both.
    config.loss.twin_weight = 1.0
    config.loss.drop_text = 0.05
    config.loss.drop_image = 0.05
    config.loss.drop_both = 0.05
    config.loss.caption_weight = 0.0
    # For whoever watches the first minutes; for hours budgets.py has others.
    config.optimizer.rule = "muon"
    config.optimizer.learning_rate = 1e-2
    config.optimizer.warmup = 5
    # Not METHOD's: so few pictures do not lead every gate to the face by themselves (docs/MINI_LOG.md).
    config.loss.gate_weight = 0.05
    return config
