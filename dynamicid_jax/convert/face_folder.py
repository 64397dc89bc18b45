"""A folder of face networks: the pack's and the judges' weights, before they become ONNX files.

face_nets.json         FaceNetsConfig
<part>.safetensors     of every part that is trained; names are paths joined with "/"
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.convert import tensors
from dynamicid_jax.convert.engine import Report
from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.errors import OutputError, WeightsError
from dynamicid_jax.files import whole_folder
from dynamicid_jax.models.configs import from_dict, to_dict
from dynamicid_jax.models.face_configs import PARTS, FaceNetsConfig
from dynamicid_jax.models.face_nets import face_net, seen_size
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

FACE_NETS_JSON = "face_nets.json"


def save_faces(folder: Path, config: FaceNetsConfig, weights: Mapping[str, Any]) -> None:
    """Writes the folder: whole, or not at all; a folder of this kind is replaced.

    Raises:
        OutputError: something else is in the way, or it cannot be written.
    """
    if folder.exists() and not (folder / FACE_NETS_JSON).is_file():
        raise OutputError(f"{folder}: is no folder of face networks, so it is not overwritten")
    with whole_folder(folder) as partial:
        partial.mkdir()
        for part, tree in weights.items():
            tensors.write(partial / f"{part}.safetensors", flatten(tree))
        text = json.dumps(to_dict(config), indent=2) + "\n"
        (partial / FACE_NETS_JSON).write_text(text, encoding="utf-8")


def load_faces(folder: Path) -> tuple[FaceNetsConfig, Params]:
    """Config and weights {part: nested float32 arrays}; parts without a file are left out.

    Raises:
        WeightsError: no such folder, a damaged file, or weights of another shape than the config's.
    """
    if not (folder / FACE_NETS_JSON).is_file():
        raise WeightsError(
            f"{folder}: no {FACE_NETS_JSON}; expected the model folder of a face network's training"
        )
    config = from_dict(FaceNetsConfig, read_json(folder / FACE_NETS_JSON), FACE_NETS_JSON)
    weights = {}
    for part in PARTS:
        path = folder / f"{part}.safetensors"
        if path.is_file():
            flat = {name: np.array(array) for name, array in tensors.open_file(path).read()}
            check_shapes(config, part, flat)
            weights[part] = nest(flat)
    return config, weights


def part_shapes(config: FaceNetsConfig, part: str) -> dict[str, tuple[int, ...]]:
    """{path: shape} of a part's weights."""
    side = seen_size(config, part)
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    made = jax.eval_shape(face_net(config, part).init, jax.random.key(0), picture)
    return {path: tuple(leaf.shape) for path, leaf in flatten(made["params"]).items()}


def check_shapes(config: FaceNetsConfig, part: str, flat: Mapping[str, Any]) -> None:
    """Whether weights are of the network that the config describes.

    Raises:
        WeightsError: they are not; all differences are listed.
    """
    wanted = part_shapes(config, part)
    report = Report(
        missing=sorted(wanted.keys() - flat.keys()),
        unexpected=sorted(flat.keys() - wanted.keys()),
        misshaped=[
            f"{path} is {list(flat[path].shape)}, expected {list(shape)}"
            for path, shape in wanted.items()
            if path in flat and tuple(flat[path].shape) != shape
        ],
    )
    report.check(f"the {part}'s weights must be of the network that {FACE_NETS_JSON} describes")
