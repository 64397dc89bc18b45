"""A checkpoint's safety checker: safety_checker/ of a diffusers folder, kept as it is in our model folders.

safety_checker/config.json, model.safetensors     a CLIP vision tower and the concepts that it looks for

A model folder holds a copy in the same form (weights always as safetensors), so there is one way to read both.
"""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert import clip_configs, tensors
from dynamicid_jax.convert.engine import plan
from dynamicid_jax.convert.limits import check_limits
from dynamicid_jax.convert.parts import ADVICE
from dynamicid_jax.convert.rules import Rule, Table, dense, under
from dynamicid_jax.convert.rules_clip import VISION
from dynamicid_jax.errors import OutputError
from dynamicid_jax.models.configs import ImageEncoderConfig
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

FOLDER, CONFIG, WEIGHTS = "safety_checker", "config.json", "model"
TOWER = "tower"
LISTS = ("concept_embeds", "special_care_embeds")  # and their thresholds, "..._weights"

RULES: Table = (
    *under("vision_model.vision_model", TOWER, VISION),
    *dense("visual_projection", f"{TOWER}/projection", bias=False),
    *(Rule(name, name) for one in LISTS for name in (one, f"{one}_weights")),
)


def find_safety_checker(folder: Path) -> Path | None:
    """The folder of a model's safety checker, None where it has none."""
    found = folder / FOLDER
    return found if (found / CONFIG).is_file() else None


def read_safety_checker(folder: Path) -> tuple[ImageEncoderConfig, Params]:
    """Its tower's config and its weights: {"tower": ..., "concept_embeds": [k e], "concept_embeds_weights": [k], ...}.

    Raises:
        WeightsError: damaged, or not a safety checker of Stable Diffusion's kind.
        MissingPartError: a PyTorch file, and PyTorch is not installed.
    """
    config = check_limits(clip_configs.read_image(folder), str(folder / CONFIG))
    opened = tensors.open_weights(folder, WEIGHTS, "pytorch_model")
    steps, report = plan(RULES, opened.entries, _shapes(config, opened), opened.where)
    report.check(ADVICE)
    flat = {
        steps[name].path: np.array(steps[name].transform.to_ours(array), np.float32)
        for name, array in opened.read()
        if name in steps
    }
    return config, nest(flat)


def copy_safety_checker(source: Path, target: Path) -> None:
    """Copies one, its weights as safetensors.

    Raises:
        WeightsError, MissingPartError: as `read_safety_checker`.
        OutputError: the copy cannot be written.
    """
    opened = tensors.open_weights(source, WEIGHTS, "pytorch_model")
    try:
        target.mkdir()
        shutil.copyfile(source / CONFIG, target / CONFIG)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from None
    tensors.write(target / f"{WEIGHTS}.safetensors", dict(opened.read()))


def _shapes(config: ImageEncoderConfig, opened: tensors.Tensors) -> dict[str, tuple[int, ...]]:
    """Shapes of all paths; how many concepts there are is read off the file."""
    side = config.image_size
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    made = jax.eval_shape(ImageEncoder(config).init, jax.random.key(0), pixels)
    shapes = {path: tuple(leaf.shape) for path, leaf in flatten({TOWER: made["params"]}).items()}
    for name in LISTS:
        entry = opened.entries.get(f"{name}_weights")
        count = entry.size if entry else 0
        shapes |= {name: (count, config.projection_width), f"{name}_weights": (count,)}
    return shapes
