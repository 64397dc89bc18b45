"""What the training loop adds to the compiled step: under 3 % of the time, start and compilation left out.

    python benchmarks/loop_overhead.py

Anchoring on precomputed features whose records have SD1.5's sizes at 512 px (0.84 MB), with a UNet narrow enough that a
step of 8 pictures takes about 1 s of CPU time. In one process, in turns:

    alone    the compiled step, called back to back on one batch that lies on the device already; waited for at the end
    loop     `training.loop.train` as it is: reading, `put_batch`, metrics, metrics.jsonl, TensorBoard, the printed
             line; from the end of one step to the end of another, and then on over one checkpoint

Both are read from three clocks, per step: wall time, CPU time of the whole process, CPU time of the loop's own thread.

    share       (loop - alone) / loop, `alone` being the mean of the blocks before and after: by wall time, and by the
                process's CPU time, which other programs on the machine hardly disturb
    own thread  CPU time: what the loop costs the host beside the step's dispatch, which `alone` holds as well

Reading runs on the cores that compute, here, and counts in full in both shares; where the step runs on an accelerator
only the own thread could hold it up, and that works two steps ahead of the device. A checkpoint comes far oftener here
than in a recipe (1000 steps), so what it costs (the pause, copying, writing, checksums) is a row by itself.
Prints the rows of docs/PERFORMANCE.md; exits with 1 where the share by CPU time is above the limit.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dynamicid_jax.config import (
    CheckpointConfig,
    DataConfig,
    LogConfig,
    OptimizerConfig,
    SourceConfig,
    TrainConfig,
)
from dynamicid_jax.data import store
from dynamicid_jax.data.dataset import INDEX, write_info
from dynamicid_jax.data.feature_store import Row, record_bytes, shard_file, write_shard
from dynamicid_jax.data.record import DatasetInfo, FeatureTable, FieldLayout
from dynamicid_jax.inference.random_model import sd15_config
from dynamicid_jax.models.configs import ModelConfig, to_dict
from dynamicid_jax.training.loop import train
from dynamicid_jax.training.setup import set_up
from dynamicid_jax.training.sharding import put_batch
from dynamicid_jax.training.writers import read_metrics

LIMIT = 0.03
RECORDS = 256
READ_FIRST, READ = 8, 50  # batches: until what was prepared ahead is used up, and measured
TABLE = FeatureTable(
    (
        FieldLayout("moments", "float16", (64, 64, 8)),
        FieldLayout("text_states", "float16", (77, 768)),
        FieldLayout("image_features", "float16", (257, 1280)),
        FieldLayout("id_embedding", "float32", (512,)),
        FieldLayout("face_box", "float32", (4,)),
    ),
    image_size=512,
)


@dataclass(frozen=True)
class Clocks:
    """Seconds.

    Attributes:
        wall: of the clock on the wall.
        process: of CPU, all threads.
        thread: of CPU, the thread that asks.
    """

    wall: float
    process: float
    thread: float

    @classmethod
    def now(cls) -> "Clocks":
        """What the clocks show."""
        return cls(time.perf_counter(), time.process_time(), time.thread_time())

    def since(self, begin: "Clocks", steps: int) -> "Clocks":
        """What has passed, per step."""
        pairs = zip(astuple(self), astuple(begin), strict=True)
        return Clocks(*((end - start) / steps for end, start in pairs))


class Marks(io.StringIO):
    """The run's terminal: notes the clocks when a line of metrics is printed."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage
        self.clocks: list[Clocks] = []

    def write(self, text: str) -> int:
        """One piece of what is printed."""
        if text.startswith(self._stage):
            self.clocks.append(Clocks.now())
        return super().write(text)


@dataclass(frozen=True)
class Block:
    """One run of the loop.

    Attributes:
        step: what passed per step, without a checkpoint.
        data: wall seconds per step in which the loop waited for the loader and put the batch in place.
        checkpoint: what one checkpoint added to the steps after it; CPU time of its whole writing if they last as long.
        pause: wall seconds in which it held up the loop.
    """

    step: Clocks
    data: float
    checkpoint: Clocks
    pause: float


def narrow_model() -> ModelConfig:
    """SD1.5's inputs, and little arithmetic between them."""
    model = sd15_config()
    image, projection = model.image_encoder, model.face_projection
    assert image is not None
    assert projection is not None
    return replace(
        model,
        unet=replace(
            model.unet,
            block_channels=(16, 32),
            transformer_depth=(0, 0),
            num_heads=(2, 2),
            layers_per_block=1,
            norm_groups=8,
        ),
        vae=replace(model.vae, block_channels=(8, 8, 8, 8), norm_groups=4),
        text_encoder=replace(
            model.text_encoder, vocab_size=514, eot_token_id=513, num_layers=1, mlp_width=64
        ),
        image_encoder=replace(image, num_layers=2, mlp_width=64),
        face_projection=replace(projection, depth=1),
        keypoint_encoder=None,
        imr=None,
    )


def write_features(folder: Path) -> None:
    """Random records, as `dynamicid precompute` would lay them out."""
    chance = np.random.default_rng(0)

    def rows() -> Iterator[Row]:
        for _ in range(RECORDS):
            drawn = {f.name: chance.standard_normal(f.shape, np.float32) for f in TABLE.fields}
            yield drawn | {"face_box": np.array([0.25, 0.25, 0.75, 0.75], np.float32)}

    write_shard(shard_file(folder, "train", 0), TABLE, rows())
    names = [str(number) for number in range(RECORDS)]
    index = {
        "train": {
            "key": names,
            "person": names,
            "studio_cell": [-1] * RECORDS,
            "shards": [RECORDS],
        }
    }
    store.write_json(folder / INDEX, index)
    write_info(folder, DatasetInfo(landmark_set=106, features=TABLE), index)


def make_recipe(folder: Path, args: argparse.Namespace) -> TrainConfig:
    """Writes features and model into a folder; the recipe for them."""
    write_features(folder / "features")
    (folder / "model.json").write_text(json.dumps(to_dict(narrow_model())))
    source = SourceConfig(str(folder / "features"))
    return TrainConfig(
        random_base=str(folder / "model.json"),
        batch_size=args.batch_size,
        steps=(args.intervals + 2) * args.every,
        dtype="float32",
        data=DataConfig((source,), heldout="", workers=args.workers),
        optimizer=OptimizerConfig(ema_decay=0.999),
        # not in the first interval, which is left out, nor among those that are measured, but before the last
        checkpoint=CheckpointConfig(every=(args.intervals + 1) * args.every),
        log=LogConfig(every=args.every, pictures_every=0, heldout_every=0),
    )


class Alone:
    """The compiled step on one batch."""

    def __init__(self, config: TrainConfig) -> None:
        setup = set_up(config)
        self._loader, self._mesh = setup.loader, setup.mesh
        self._batch = put_batch(next(setup.loader).batch, setup.mesh)
        self._state = setup.fresh_state()
        setup.compile(self._state, self._batch)
        self._step, self._frozen = setup.placed.step, setup.frozen
        self.run(2)

    def run(self, steps: int) -> Clocks:
        """Per step."""
        begin = Clocks.now()
        for _ in range(steps):
            self._state, metrics = self._step(self._frozen, self._state, self._batch)
        jax.block_until_ready((self._state, metrics))
        return Clocks.now().since(begin, steps)

    def read(self, batches: int) -> Clocks:
        """Reading and placing without the step, per batch; ends the reading."""
        for _ in range(READ_FIRST):
            next(self._loader)
        begin = Clocks.now()
        for _ in range(batches):
            jax.block_until_ready(put_batch(next(self._loader).batch, self._mesh))
        passed = Clocks.now().since(begin, batches)
        self._loader.close()
        return passed


def loop(config: TrainConfig, workdir: Path) -> Block:
    """Trains, and reads the clocks at its lines; what comes before the first line is left out."""
    marks, every = Marks(config.stage), config.log.every
    with contextlib.redirect_stdout(marks):
        train(config, workdir)
    lines: list[dict[str, Any]] = read_metrics(workdir)[1:]
    first, *_, before, last = marks.clocks
    step = before.since(first, (len(lines) - 1) * every)
    # speeds are told without pauses
    seconds = [every / line["speed/steps_per_second"] for line in lines]
    waits = [line["speed/data_wait"] * each for line, each in zip(lines, seconds, strict=True)]
    after = last.since(before, 1)
    added = Clocks(
        *(all - every * one for all, one in zip(astuple(after), astuple(step), strict=True))
    )
    data = sum(waits[:-1]) / every / (len(lines) - 1)
    return Block(step, data, added, after.wall - seconds[-1])


def shares(alone: list[Clocks], blocks: list[Block]) -> dict[str, list[float]]:
    """(loop - alone) / loop of every run, by wall and by CPU time; and milliseconds of the own thread."""
    rows: dict[str, list[float]] = {"wall": [], "process": [], "thread": []}
    for before, block, after in zip(alone, blocks, alone[1:], strict=False):
        for name in ("wall", "process"):
            base = (getattr(before, name) + getattr(after, name)) / 2
            rows[name].append(1 - base / getattr(block.step, name))
        rows["thread"].append(1e3 * (block.step.thread - (before.thread + after.thread) / 2))
    return rows


def main() -> int:
    """Measures in turns and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--every", type=int, default=10, help="steps between two lines")
    parser.add_argument("--intervals", type=int, default=4)
    parser.add_argument("--workers", type=int, default=0, help="reading processes")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # every run compiles the same program
        jax.config.update("jax_compilation_cache_dir", str(folder / "cache"))
        config = make_recipe(folder, args)
        steps = args.every * args.intervals
        step = Alone(config)
        reading = step.read(READ)
        alone, blocks = [step.run(steps)], []
        for number in range(args.repeats):
            blocks.append(loop(config, folder / f"run{number}"))
            alone.append(step.run(steps))
    size = args.batch_size * record_bytes(TABLE) / 1e6
    print(f"{os.cpu_count()} cores; {args.batch_size} pictures, {size:.1f} MB a step")
    rows = {
        "step alone, wall, ms": [1e3 * block.wall for block in alone],
        "step alone, CPU of all threads, ms": [1e3 * block.process for block in alone],
        "share of the loop by CPU time, %": [100 * x for x in shares(alone, blocks)["process"]],
        "share of the loop by wall time, %": [100 * x for x in shares(alone, blocks)["wall"]],
        "the loop's own thread, CPU, ms a step": shares(alone, blocks)["thread"],
        "reading a batch and putting it in place, CPU of all threads, ms": [1e3 * reading.process],
        "waiting for data and putting it in place, wall, ms a step": [
            1e3 * block.data for block in blocks
        ],
        "a checkpoint: CPU of all threads, ms": [
            1e3 * block.checkpoint.process for block in blocks
        ],
        "a checkpoint: its pause, wall, ms": [1e3 * block.pause for block in blocks],
    }
    print("| what | median | lowest | highest |\n|---|---|---|---|")
    for name, values in rows.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.1f} | {min(values):.1f} | {max(values):.1f} |")
    return int(statistics.median(shares(alone, blocks)["process"]) > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
