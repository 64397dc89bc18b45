"""Loading and cold starts: processes of their own, from their start to a picture in memory.

python benchmarks/starting.py FOLDER DTYPE      loads once; prints {"seconds", "peak_gb"} of this process
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dynamicid_jax.cache import VARIABLE

GIGA = 1e9
CODE = """\
import sys
from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.cli.console import use_compilation_cache
use_compilation_cache()
pipe = DynamicIDPipeline.from_pretrained(sys.argv[1])
pipe("one person before the sea", [pipe.person(face_tokens=[[0.1] * pipe.token_shape[1]] * pipe.token_shape[0])])
"""


def cold_start(model: str, cached: bool) -> Callable[[], float]:
    """Seconds from the start of Python to the first picture, with an empty compilation cache or a filled one."""
    holder = tempfile.TemporaryDirectory()

    def run(folder: str = holder.name) -> float:
        environment = {**os.environ, VARIABLE: folder}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # of the benchmark's own run
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", CODE, model], check=True, env=environment)
        return time.perf_counter() - begin

    if cached:
        run()
        return run

    def fresh() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return run(folder)

    return fresh


def loading(model: str) -> Callable[[], float]:
    """Seconds to load a model folder, from a warm file cache."""
    import jax

    from dynamicid_jax.convert.load import load_any

    def run() -> float:
        begin = time.perf_counter()
        jax.block_until_ready(load_any(model, dtype="float32").weights)
        return time.perf_counter() - begin

    run()
    return run


class Checkpoint:
    """A diffusers folder of random weights in float32, which processes of their own load."""

    def __init__(self, size: str) -> None:
        """Writes it, in a temporary directory."""
        self._holder = tempfile.TemporaryDirectory()
        self.folder = Path(self._holder.name) / "model"
        _write_base(size, self.folder)
        self._files = [file for file in self.folder.rglob("*") if file.is_file()]
        self._peaks: dict[str, float] = {}

    def gigabytes(self) -> float:
        """Of all files."""
        return sum(file.stat().st_size for file in self._files) / GIGA

    def seconds(self, dtype: str, cold: bool = False) -> float:
        """Of loading it into a new process's JAX, from a warm file cache or from the disk."""
        for file in self._files:
            _forget(file) if cold else _remember(file)
        command = [sys.executable, __file__, str(self.folder), dtype]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        self._peaks[dtype] = told["peak_gb"]
        return float(told["seconds"])

    def peak_gb(self, dtype: str) -> float:
        """Peak memory of the process that `seconds` started last with this dtype."""
        if dtype not in self._peaks:
            self.seconds(dtype)
        return self._peaks[dtype]


def _write_base(size: str, folder: Path) -> None:
    from dynamicid_jax.convert.published_files import write_base
    from dynamicid_jax.inference.random_model import CONFIGS, known_merges, random_weights
    from dynamicid_jax.inference.tokenizer_files import write_tokenizer

    extra = ("adapter", "face_projection", "image_encoder", "imr", "keypoint_encoder")
    config = replace(CONFIGS[size](), **dict.fromkeys(extra))
    weights = random_weights(config)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        text = config.text_encoder
        write_tokenizer(Path(scratch), text.max_length, known_merges(text))
        write_base(folder, config, weights, Path(scratch))


def _forget(file: Path) -> None:
    """Drops a file from the system's cache; what is not on the disk yet is written first."""
    if not hasattr(os, "posix_fadvise"):
        raise RuntimeError("this system cannot drop a file from its cache")
    number = os.open(file, os.O_RDONLY)
    try:
        os.fsync(number)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(number)


def _remember(file: Path) -> None:
    """Has a file in the system's cache, if that holds it."""
    with file.open("rb") as opened:
        while opened.read(2**24):
            pass


def compiling(size: str, pixels: int, dtype: str) -> Callable[[], float]:
    """Seconds to trace and compile the sampling loop with one person; nothing is loaded, and no cache is used."""
    import argparse

    import jax
    import sampler_plan

    jax.config.update("jax_enable_compilation_cache", False)
    args = argparse.Namespace(model=size, size=pixels, dtype=dtype, people=1, pictures=1, steps=50)

    def run() -> float:
        jax.clear_caches()
        begin = time.perf_counter()
        loop, _ = sampler_plan.programs(args, jax.devices()[0])
        loop.compile()
        return time.perf_counter() - begin

    return run


def main() -> int:
    """Loads a folder."""
    import jax
    from worker import peak_gb

    from dynamicid_jax.convert.load import load_any

    folder, dtype = sys.argv[1:]
    jax.devices()  # a GPU's driver is not loading
    begin = time.perf_counter()
    jax.block_until_ready(load_any(folder, dtype=dtype).weights)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "peak_gb": peak_gb()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
