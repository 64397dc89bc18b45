"""The words of the world: what a small tokenizer has to know (inference/tokenizer_files.py)."""

import re
from functools import cache

from dynamicid_jax.faces.prompts import EXPRESSIONS, FACINGS, VIEWS
from dynamicid_jax.inference.tokenizer_files import Pair, learn_merges
from dynamicid_jax.world.captions import PHRASES

_FACE = ("expression", "facing", "view", "level")  # of face prompts
# Of METHOD's fixed prompt and of what people type beside a caption.
_PHOTO = (
    "portrait cinematic photo film professional highly detailed picture of the and with man woman person people "
    "left right middle wall shirt smiling surprised angry afraid disgusted calm side at next to four background"
)


def words() -> tuple[str, ...]:
    """Every word of captions and face prompts, and some more."""
    said = " ".join((*PHRASES, *EXPRESSIONS, *FACINGS, *VIEWS, *_FACE, _PHOTO))
    return tuple(sorted(set(re.findall(r"[a-z]+", said))))


@cache
def merges() -> tuple[Pair, ...]:
    """Merges that make each of `words` one token."""
    return tuple(learn_merges(words()))
