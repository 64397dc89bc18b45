"""Damaged headers of safetensors files; what is accepted must also be readable to the end."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.convert import container, tensors

from .harness import Case, Fuzzer
from .mutate import INTERESTING, Generator, mutate_bytes, mutate_json, pick


def _seeds(folder: Path) -> list[bytes]:
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.standard_normal((2, 3)).astype(np.float32),
        "b/kernel": rng.standard_normal((1, 1, 2, 2)).astype(np.float16),
        "c": np.arange(4, dtype=np.int64),
        "scalar": np.float32(3).reshape(()),
        "empty": np.zeros((0, 5), np.int8),
    }
    file = folder / "seed.safetensors"
    tensors.write(file, arrays, {"format": "pt"})
    return [file.read_bytes()]


def _mutated(rng: Generator, data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.5:
        values: Any = json.loads(header)
        for _ in range(int(rng.integers(1, 4))):
            values = mutate_json(rng, values)
        header = json.dumps(values).encode()
        if rng.random() < 0.1:  # the same name twice: readers may differ about which one counts
            header = header[:-1] + b"," + pick(rng, header[1:-1].split(b"}, ")) + b"}}"
    else:
        header = mutate_bytes(rng, header)
    length = len(header)
    if rng.random() < 0.1:
        length = pick(rng, (*INTERESTING, size, length + 1, length - 1, 2**63, 2**64 - 1))
    if rng.random() < 0.1:
        body = mutate_bytes(rng, body)
    return (length % 2**64).to_bytes(8, "little") + header + body


def _prepare(folder: Path) -> Case:
    seeds, path = _seeds(folder), folder / "mutated.safetensors"
    file = os.open(path, os.O_RDWR | os.O_CREAT)

    def case(rng: Generator) -> None:
        data = _mutated(rng, pick(rng, seeds))
        os.pwrite(file, data, 0)
        os.ftruncate(file, len(data))  # last: some file systems wait for the disk at a length of 0
        opened = tensors.open_file(path)
        for entry, position in opened.files[path].values():
            assert entry.dtype not in container.ITEM_SIZES or position + entry.nbytes <= len(data)
        for name, array in opened.read():
            assert array.shape == opened.entries[name].shape

    return case


FUZZER = Fuzzer("headers", 1_000_000, 1500, _prepare)
