"""A model folder may be a stranger's: its links may not lead out of it.

(The published layout is put together by its user, who may do so with links; its files name no others but the shards
beside an index, see `tensors.open_index`.)
"""

import os
from pathlib import Path

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.images import shown

SNAPSHOTS, BLOBS = (
    "snapshots",
    "blobs",
)  # huggingface_hub's cache: snapshots/REVISION/... -> blobs/HASH


def check_links(root: Path) -> None:
    """Looks at every link under a folder, without following any.

    Args:
        root: may be a link itself, for that is the user's own choice.

    Raises:
        WeightsError: a link leads elsewhere than into the folder, or to the blobs of the same cached repository.
    """
    home = root.resolve()
    allowed = [home]
    if home.parent.name == SNAPSHOTS:
        allowed.append(home.parent.parent / BLOBS)
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            entry = Path(folder, name)
            if entry.is_symlink() and not _leads_into(entry, allowed):
                raise WeightsError(
                    f"{shown(entry)}: a link that leads out of the model's folder; put the file itself there"
                )


def _leads_into(link: Path, allowed: list[Path]) -> bool:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a circle of links
        return False
    return any(target.is_relative_to(folder) for folder in allowed)
