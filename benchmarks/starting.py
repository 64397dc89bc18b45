"""Loading and cold starts: processes of their own, from their start to a picture in memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from dynamicid_jax.cache import VARIABLE

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
