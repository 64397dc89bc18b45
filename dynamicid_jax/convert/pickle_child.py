"""The guarded child process that reads a PyTorch file.

`python -m dynamicid_jax.convert.pickle_child SOURCE TARGET LIMIT` alone touches a pickle, with
`torch.load(weights_only=True)`, under limits of memory and time. It writes every tensor to a
safetensors file and prints one line when it cannot.
"""

import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.convert import container
from dynamicid_jax.convert.container import Entry

DONE, NO_TORCH, OLD_TORCH, REFUSED, UNWRITABLE = 0, 3, 4, 5, 6  # exit codes
MIN_TORCH = (2, 6)  # earlier versions run code from crafted files in spite of weights_only
MAX_DEPTH = 8
TORCH_ALLOWANCE = 2 << 30  # what a build of PyTorch with GPU support may take for itself


class RefusalError(Exception):
    """The file is not a checkpoint of plain tensors; the message says why."""


def main(arguments: list[str]) -> int:
    """Converts `source` to `target`; `limit` is the most bytes of memory (arguments: all three)."""
    source, target, limit = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    _limit_memory(limit)
    try:
        import torch
    except ImportError:
        return NO_TORCH
    if not recent_enough(torch.__version__):
        print(torch.__version__)
        return OLD_TORCH
    try:
        tensors = flatten_tensors(torch, load(torch, source, limit))
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if total > limit:
            raise RefusalError(
                f"its tensors expand to {total:,} bytes, more than the {limit:,} allowed"
            )
        write(torch, tensors, target)
    except RefusalError as error:
        print(" ".join(str(error).split())[:300])
        return REFUSED
    except MemoryError:
        print(f"it needs more than the {limit:,} bytes of memory allowed")
        return REFUSED
    except OSError as error:
        print(error.strerror or error)
        return UNWRITABLE
    return DONE


def _limit_memory(limit: int) -> None:
    """Caps the memory that can be written to; libraries, PyTorch's are large, do not count."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit + TORCH_ALLOWANCE,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # not every system has it; the parent's time limit and the size check remain


def recent_enough(version: str) -> bool:
    """Whether a version string such as "2.13.0+cpu" is 2.6 or later."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= MIN_TORCH


def load(torch: Any, source: Path, limit: int) -> Any:
    """What the file holds, without running anything in it.

    Raises:
        RefusalError: it is no checkpoint, is damaged, or has other things than tensors in it.
    """
    if zipfile.is_zipfile(source):
        try:
            with zipfile.ZipFile(source) as archive:
                size = sum(member.file_size for member in archive.infolist())
        except zipfile.BadZipFile:
            raise RefusalError("a damaged file") from None
        if size > limit:
            raise RefusalError(f"it unpacks to {size:,} bytes, more than the {limit:,} allowed")
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the unpickler fails in as many ways as there are damaged files
        text = str(error)
        found = re.search(r"GLOBAL ([\w.]+)|[Gg]lobal ([\w.]+) was not an allowed", text)
        if found:
            raise RefusalError(
                f"it holds code or objects ({found[1] or found[2]}), not only tensors"
            ) from None
        if "Weights only load failed" in text or isinstance(error, RuntimeError):
            raise RefusalError("a damaged file, or not a PyTorch checkpoint of tensors") from None
        raise RefusalError(
            f"not a PyTorch checkpoint of tensors ({type(error).__name__})"
        ) from None


def flatten_tensors(torch: Any, loaded: Any) -> dict[str, Any]:
    """Nested dicts and lists to {"a.b.c": tensor}.

    Raises:
        RefusalError: anything that is not a dense tensor, or two names that become the same.
    """
    tensors: dict[str, Any] = {}

    def visit(value: Any, name: str, depth: int) -> None:
        if isinstance(value, Mapping | list | tuple) and depth < MAX_DEPTH:
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            for key, inner in items:
                visit(inner, f"{name}.{key}" if name else str(key), depth + 1)
        elif not isinstance(value, torch.Tensor):
            raise RefusalError(
                f"its entry {name!r} is a {type(value).__name__}, expected only tensors"
            )
        elif value.layout != torch.strided or value.is_quantized or str(value.dtype) not in CODES:
            raise RefusalError(
                f"its tensor {name!r} is of a kind that is not supported ({value.dtype})"
            )
        elif name in tensors:
            raise RefusalError(f"two of its tensors are called {name!r}")
        else:
            tensors[name] = value.detach()

    visit(loaded, "", 0)
    if not tensors:
        raise RefusalError("it holds no tensors")
    return tensors


CODES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}


def write(torch: Any, tensors: dict[str, Any], target: Path) -> None:
    """Writes the tensors with their full shapes: strided views are expanded one at a time."""
    entries = {
        name: Entry(CODES[str(tensor.dtype)], tuple(tensor.shape))
        for name, tensor in tensors.items()
    }
    entries = {name: entries[name] for name in container.write_order(entries)}

    def data() -> Iterator[tuple[str, Any]]:
        for name in entries:
            yield name, tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy()

    container.write(target, entries, data(), {"format": "pt"})


if __name__ == "__main__":
    # A fixed exit even if a library hangs in its own shutdown.
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
