"""The smallest run that has all parts of a real one: 40 made-up pictures, a random base, stage 1 in seconds.

python benchmarks/tiny_run.py FOLDER      writes FOLDER/data and FOLDER/recipe.py
python train.py --config FOLDER/recipe.py --workdir RUN
"""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dynamicid_jax.data.dataset import write_dataset
from dynamicid_jax.data.record import DatasetInfo, PictureRecord, pack_raster
from dynamicid_jax.inference.random_model import tiny_config
from dynamicid_jax.models.configs import AdapterConfig, ModelConfig, to_dict

ROOT = Path(__file__).resolve().parents[1]
TRAIN = (str(ROOT / "train.py"),)
PATIENCE = 900  # seconds that any one session may take
POLL = 0.001
MARK = ".orbax-checkpoint-tmp"  # in the name of a folder that is being written
STALE = "stale"  # put into what a killed session left

SIDE = 32
PERSONS, PICTURES = 10, 4

RECIPE = '''\
"""Stage 1 on made-up pictures, as small as it goes (benchmarks/tiny_run.py)."""

import json

from ml_collections import ConfigDict

from dynamicid_jax.config import TrainConfig, from_config_dict, to_config_dict


def get_config() -> ConfigDict:
    """The recipe."""
    return to_config_dict(from_config_dict(json.loads({values!r})))
'''


class Session:
    """One start of train.py in a work folder, and what can be seen of it from outside."""

    def __init__(
        self, recipe: Path, workdir: Path, steps: int, *more: str, script: Sequence[str] = TRAIN
    ) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self.checkpoints = workdir / "checkpoints"
        self.log = workdir / f"session_{len(list(workdir.glob('session_*'))):03d}.log"
        for name in self._unfinished():  # what an earlier session left is not this one's saving
            (self.checkpoints / name / STALE).touch()
        command = [sys.executable, *script, "--config", str(recipe), "--workdir", str(workdir)]
        command += [f"--config.steps={steps}", *more]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.deadline = time.monotonic() + PATIENCE

    def until(self, happened: Callable[[], Any]) -> bool:
        """Waits for something; False if the session ended before."""
        while not happened():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > self.deadline:
                self.process.kill()
                raise SystemExit(f"no progress within {PATIENCE} s; see {self.log}")
            time.sleep(POLL)
        return True

    def end(self, number: int | None = None) -> int:
        """Sends a signal, if any, and waits for the end; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        self.until(lambda: self.process.poll() is not None)
        return int(self.process.returncode)

    def sealed(self) -> list[int]:
        """Steps of finished checkpoints."""
        return sorted(int(seal.parent.name) for seal in self.checkpoints.glob("*/seal.json"))

    def saving(self) -> bool:
        """Whether a checkpoint is being written at this moment."""
        return any(not (self.checkpoints / name / STALE).exists() for name in self._unfinished())

    def _unfinished(self) -> list[str]:
        names = os.listdir(self.checkpoints) if self.checkpoints.is_dir() else []
        return [n for n in names if MARK in n or not (self.checkpoints / n / "seal.json").exists()]

    def found(self, pattern: re.Pattern[str]) -> int | None:
        """The number of a line in the log."""
        match = pattern.search(self.log.read_text())
        return int(match[1]) if match else None

    def failed(self, code: int) -> str:
        """What to say about a session that ended in an unforeseen way."""
        return f"exit code {code}; {self.log}: {self.log.read_text()[-300:]!r}"


def write(folder: Path, **changes: Any) -> Path:
    """Writes data and recipe; the recipe's path.

    Args:
        folder: made if need be.
        changes: values of `TrainConfig`, by name.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    info = DatasetInfo(landmark_set=5, embedding_width=512)
    write_dataset(folder / "data", {"train": _records()}, info, shards=2, overwrite=True)
    (folder / "model.json").write_text(json.dumps(to_dict(_model())))
    values = {
        "stage": "anchoring",
        "random_base": str(folder / "model.json"),
        "batch_size": 8,
        "steps": 10,
        "dtype": "float32",
        "data": {
            "sources": [{"path": str(folder / "data")}],
            "heldout": "",
            "image_size": SIDE,
            "workers": 0,
        },
        "optimizer": {"warmup": 2, "ema_decay": 0.9},
        "checkpoint": {"every": 4},
        "log": {"every": 1, "pictures_every": 0, "heldout_every": 0, "tensorboard": False},
    }
    recipe = folder / "recipe.py"
    recipe.write_text(RECIPE.format(values=json.dumps(values | changes)))
    return recipe


def _model() -> ModelConfig:
    """The tiny model with as few layers as its parts allow: a restart has to trace and load them all."""
    model = tiny_config()
    image, projection = model.image_encoder, model.face_projection
    assert image is not None
    assert projection is not None
    return replace(
        model,
        unet=replace(
            model.unet,
            block_channels=(16, 32),
            transformer_depth=(1, 0),
            num_heads=(2, 2),
            layers_per_block=1,
        ),
        vae=replace(model.vae, block_channels=(8, 8)),
        image_encoder=replace(image, num_layers=2),
        text_encoder=replace(model.text_encoder, num_layers=1),
        face_projection=replace(projection, depth=1),
        adapter=AdapterConfig(lora_rank=2),
        keypoint_encoder=None,
        imr=None,
    )


def _records() -> Iterator[PictureRecord]:
    """Noise with a face's record beside it; the same in every call."""
    for person in range(PERSONS):
        for number in range(PICTURES):
            rng = np.random.default_rng([person, number])
            stream = io.BytesIO()
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(pixels).save(stream, "PNG")
            embedding = rng.normal(size=512).astype(np.float32)
            yield PictureRecord(
                key=f"person{person}/{number}",
                person=f"person{person}",
                picture=stream.getvalue(),
                width=SIDE,
                height=SIDE,
                caption=f"a photo of person {person}",
                face_prompt="in a happy expression, in front view",
                expression="happy",
                expression_source="text",
                yaw=0.0,
                pitch=0.0,
                roll=0.0,
                pose_source="estimated from 5 points",
                face_box=np.array([0.25, 0.25, 0.75, 0.75], np.float32),
                raster=pack_raster(rng.choice([-1.0, 1.0], (96, 96))),
                embedding=embedding / np.linalg.norm(embedding),
            )


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
