"""An export's report, export.json: what was written, and how far it is from its source.

{
  "format": "published", "source": "RUN/model", "fingerprint": ..., "versions": {...}, "notes": [...],
  "files": {part: {"file", "bytes", "difference", "tensors": {name: largest difference}, "outputs": {name: ...}}}
}

Differences are largest absolute ones between the export, read back, and its source. "difference" is the largest of the
outputs'; of a model folder it is relative (export/model.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamicid_jax.convert.load import Loaded
from dynamicid_jax.convert.model_folder import REPORT
from dynamicid_jax.files import save_json
from dynamicid_jax.inference.recipe import fingerprint, versions

Row = dict[str, Any]
MIB = 2**20


def row(
    path: Path,
    tensors: Mapping[str, float],
    outputs: Mapping[str, float] | None = None,
    difference: float | None = None,
) -> Row:
    """One file's line of the report; `difference` defaults to the largest of the outputs', or of the tensors'."""
    outputs = dict(outputs or {})
    if difference is None:
        difference = max((outputs or tensors).values(), default=0.0)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "difference": difference,
        "tensors": dict(tensors),
        "outputs": outputs,
    }


def line(name: str, told: Mapping[str, Any]) -> str:
    """One file's line for people."""
    tensors = max(told["tensors"].values(), default=0.0)
    same = f"{len(told['tensors'])} tensors within {tensors:.1e}" if told["tensors"] else ""
    outputs = f"outputs within {max(told['outputs'].values()):.1e}" if told["outputs"] else ""
    return f"{name}: {told['bytes'] / MIB:.2f} MiB, {', '.join(filter(None, (same, outputs)))}"


def finish(
    folder: Path,
    out: Path,
    kind: str,
    source: str | Path,
    loaded: Loaded,
    files: Mapping[str, Row],
    notes: Sequence[str] = (),
) -> dict[str, Row]:
    """Writes export.json into the folder.

    Returns:
        `files`, their names under `out`.

    Raises:
        OutputError: it cannot be written.
    """
    report = {
        "format": kind,
        "source": Path(source).name,
        "fingerprint": fingerprint(loaded.config, loaded.weights),
        "versions": versions(),
        "notes": list(notes),
        "files": files,
    }
    save_json(report, folder / REPORT)
    return {name: {**told, "file": str(out / told["file"])} for name, told in files.items()}
