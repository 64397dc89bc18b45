"""Weights on disk: safetensors in one file or in shards, fp16 variants, and PyTorch's own files.

Tensors are read one at a time, in the order of the file (see `container`). A PyTorch pickle is
first turned into safetensors by a guarded child process (see `pickles`).
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from dynamicid_jax.convert import container, pickles
from dynamicid_jax.convert.container import Entry
from dynamicid_jax.errors import OutputError, WeightsError
from dynamicid_jax.text import printable

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I8": np.dtype(np.int8),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Tensors:
    """The tensors of one network, in one file or several.

    Attributes:
        where: the name for messages.
        files: per file, every tensor's entry and position.
        holder: keeps converted files alive that the cache could not take.
    """

    where: str
    files: Mapping[Path, Mapping[str, tuple[Entry, int]]]
    holder: Any = None

    @property
    def entries(self) -> dict[str, Entry]:
        """Kind and shape of every tensor."""
        return {name: entry for file in self.files.values() for name, (entry, _) in file.items()}

    def read(self, reuse: bool = False) -> Iterator[tuple[str, np.ndarray]]:
        """Every tensor whose kind numpy knows, one at a time.

        Args:
            reuse: read into one buffer, so that an array is valid until the next one is asked for.
                New memory for every tensor costs as much time as reading it.

        Raises:
            WeightsError: a file ends early or cannot be read.
        """
        buffer = np.empty(0, np.uint8)
        for path, ranges in self.files.items():
            try:
                with open(path, "rb") as file:
                    for name, (entry, position) in ranges.items():
                        if entry.dtype not in DTYPES:
                            continue
                        if not reuse or buffer.size < entry.nbytes:
                            buffer = np.empty(entry.nbytes, np.uint8)
                        values = buffer[: entry.nbytes]
                        file.seek(position)
                        if file.readinto(values.data) != entry.nbytes:
                            raise EOFError("it ends early; fetch it again")
                        yield name, values.view(DTYPES[entry.dtype]).reshape(entry.shape)
            except (OSError, EOFError) as error:
                raise WeightsError(f"{path}: cannot be read ({_reason(error)})") from None


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(" ".join(text.split()))[:200]


def open_file(path: Path, where: str | None = None, holder: Any = None) -> Tensors:
    """One safetensors file; its header is checked, no tensor is read.

    Raises:
        WeightsError: not a file, or not a whole safetensors file.
    """
    where = str(path) if where is None else where
    try:
        with safe_open(path, "numpy"):  # the library's own checks of the header and the file's size
            pass
        return Tensors(where, {path: container.read_ranges(path)}, holder)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a whole safetensors file ({_reason(error)}); fetch or convert it again"
        ) from None


def open_any(path: Path) -> Tensors:
    """A safetensors file, or a PyTorch file by way of the guarded child process.

    Raises:
        WeightsError: the file is missing or damaged, or a pickle with more than tensors in it.
        MissingPartError: a PyTorch file, and PyTorch is not installed.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file; expected .safetensors or a PyTorch file (.bin, .pt)"
        )
    if path.suffix == ".safetensors":
        return open_file(path)
    converted, holder = pickles.to_safetensors(path)
    return open_file(converted, str(path), holder)


def open_index(path: Path) -> Tensors:
    """The shards that an index lists; they lie beside it.

    Raises:
        WeightsError: a damaged index, one that points elsewhere, or a shard that cannot be read.
    """
    try:
        shards = sorted(set(json.loads(path.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WeightsError(
            f"{path}: not an index of shards; expected JSON with a weight_map"
        ) from None
    files: dict[Path, Mapping[str, tuple[Entry, int]]] = {}
    holders = []
    for name in shards:
        # An index is a stranger's file: it may name files beside itself and nothing else.
        if not isinstance(name, str) or name in ("", ".", "..") or os.path.basename(name) != name:
            raise WeightsError(
                f"{path}: lists {name!r}, expected the name of a file beside the index"
            )
        if not (path.parent / name).is_file():
            raise WeightsError(
                f"{path}: lists {name}, which is not there; fetch all {len(shards)} shards"
            )
        shard = open_any(path.parent / name)
        files.update(shard.files)
        holders.append(shard.holder)
    tensors = Tensors(str(path), files, holders)
    count = sum(map(len, files.values()))
    if count != len(tensors.entries):
        raise WeightsError(f"{path}: {count - len(tensors.entries)} tensors are in several shards")
    return tensors


def variants(stem: str, pickle_stem: str) -> list[str]:
    """File names under which a network's weights are looked for, best first."""
    return [
        f"{stem}.safetensors",
        f"{stem}.safetensors.index.json",
        f"{stem}.fp16.safetensors",
        f"{stem}.safetensors.index.fp16.json",
        f"{pickle_stem}.bin",
        f"{pickle_stem}.bin.index.json",
        f"{pickle_stem}.fp16.bin",
    ]


def open_weights(folder: Path, stem: str, pickle_stem: str | None = None) -> Tensors:
    """A network's weights in a folder, whichever variant is there.

    Args:
        folder: for example `unet/`.
        stem: "diffusion_pytorch_model" (diffusers) or "model" (transformers).
        pickle_stem: the same for .bin files; transformers calls them "pytorch_model".

    Raises:
        WeightsError: no variant is there, or it cannot be read.
    """
    names = variants(stem, pickle_stem or stem)
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise WeightsError(
            f"{folder}: no weights found; expected {', '.join(names[:3])} or {names[4]}"
        )
    return open_index(found) if found.suffix == ".json" else open_any(found)


def write(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes arrays to one file, one at a time.

    Raises:
        OutputError: the file cannot be written.
    """
    entries = {name: Entry(CODES[np.dtype(a.dtype)], tuple(a.shape)) for name, a in arrays.items()}
    entries = {name: entries[name] for name in container.write_order(entries)}
    data = (
        (name, np.asarray(arrays[name], order="C").reshape(-1).view(np.uint8)) for name in entries
    )
    guarded(path, lambda: container.write(path, entries, data, metadata))


def guarded(path: Path, write: Callable[[], Any]) -> None:
    """Calls `write`, which makes `path`.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        write()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({_reason(error)})") from None
