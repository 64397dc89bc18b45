"""The finished model as a folder: what sampling loads, or face networks."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from etils import epath

from dynamicid_jax.training.sharding import replicated
from dynamicid_jax.training.stage import Stage
from dynamicid_jax.training.state import join, split
from dynamicid_jax.training.subjects import SUBJECTS
from dynamicid_jax.types import Params

NAME = "model"


def save_model(workdir: epath.Path, base: Any, stage: Stage, best: Params, mesh: Any) -> epath.Path:
    """Writes WORKDIR/model: the base with what was trained put in its place; process 0 does.

    Args:
        workdir: the run's folder.
        base: what training started from.
        stage: what was trained.
        best: its weights (averaged where an average is kept), and statistics.
        mesh: where these lie.
    """
    whole = jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(best)
    host = jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), whole)
    folder = workdir / NAME
    if jax.process_index() == 0:
        _, _, frozen = split(base.weights, stage)
        weights = jax.tree.map(np.asarray, join(frozen, host))
        with _local(folder) as target:
            SUBJECTS[stage.subject].save(target, base, weights)
    return folder


@contextlib.contextmanager
def _local(folder: epath.Path) -> Iterator[Path]:
    """A local folder to write to; what another scheme (gs://) addresses is copied there afterwards."""
    if "://" not in str(folder):
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / NAME
        yield made
        for file in (path for path in made.rglob("*") if path.is_file()):
            target = folder / file.relative_to(made).as_posix()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
