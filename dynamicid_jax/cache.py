"""Where things are kept that can be made again."""

import os
from pathlib import Path

VARIABLE = "DYNAMICID_CACHE"


def cache_folder(part: str) -> Path:
    """One part ("xla", "converted") of $DYNAMICID_CACHE, else of ~/.cache/dynamicid_jax."""
    chosen = os.environ.get(VARIABLE)
    return (Path(chosen) if chosen else Path("~/.cache/dynamicid_jax").expanduser()) / part
