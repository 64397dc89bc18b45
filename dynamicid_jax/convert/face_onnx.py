"""A recogniser's weights back from the ONNX file that export/face_pack.py wrote, so that they are shipped once.

The writer keeps weights in the order in which the network uses them, convolutions as [out in h w] and vectors with
axes of 1 around them; constants that are no weights are whole numbers or single values. Norms of maps that the
network does not use are not in the file: they come back as 1 and 0.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval

from dynamicid_jax.convert.face_folder import part_shapes
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.faces.network_files import check_network
from dynamicid_jax.images import shown
from dynamicid_jax.models.face_configs import FaceNetsConfig
from dynamicid_jax.models.face_nets import face_net, seen_size
from dynamicid_jax.trees import nest
from dynamicid_jax.types import Params

PART, FILE = "recogniser", "recogniser.onnx"


def read_recogniser(file: Path) -> tuple[FaceNetsConfig, Params]:
    """The shipped shapes and {"recogniser": nested float32 arrays}.

    Raises:
        WeightsError: a file that is no ONNX network, or not of the shipped recogniser's shape.
    """
    import onnx
    from onnx import numpy_helper

    config = FaceNetsConfig()
    check_network(file, f"face network {shown(file)}")
    stored = onnx.load(str(file), load_external_data=False).graph.initializer
    arrays = [numpy_helper.to_array(one) for one in stored]
    arrays = [one for one in arrays if one.dtype.kind == "f" and one.size > 1]
    wanted, unused = _in_order(config)
    weights = {path: np.full(shape, path.endswith("scale"), np.float32) for path, shape in unused}
    weights |= {
        path: _back(array.astype(np.float32), shape)
        for (path, shape), array in zip(wanted, arrays, strict=False)
    }
    fits = len(arrays) == len(wanted) and all(
        weights[path].shape == shape for path, shape in wanted
    )
    if not fits:
        raise WeightsError(
            f"{file}: not the recogniser that `dynamicid export --to face_pack` writes; give the folder of the face "
            "networks that it was exported from (RUN/faces)"
        )
    return config, {PART: nest(weights)}


Shapes = list[tuple[str, tuple[int, ...]]]


def _in_order(config: FaceNetsConfig) -> tuple[Shapes, Shapes]:
    """(path, shape) of every weight: as the network first uses them, and of those that it never uses."""
    side = seen_size(config, PART)
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    net, shapes = face_net(config, PART), part_shapes(config, PART)
    weights = nest(
        {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()}
    )
    names = jax.tree.leaves(nest({path: path for path in shapes}))  # as the tracer orders them
    traced = jax.make_jaxpr(lambda weights, x: net.apply({"params": weights}, x))(weights, picture)
    used, _ = partial_eval.dce_jaxpr(traced.jaxpr, [True], instantiate=True)
    places = {id(variable): n for n, variable in enumerate(used.invars[: len(names)])}
    order: list[int] = []
    for equation in used.eqns:
        for variable in equation.invars:
            number = places.get(id(variable))
            if number is not None and number not in order:
                order.append(number)
    rows = [(name, shapes[name]) for name in names]
    return [rows[n] for n in order], [row for n, row in enumerate(rows) if n not in order]


def _back(array: np.ndarray, shape: tuple[int, ...]) -> Any:
    """An array of the file in the network's own layout."""
    if array.ndim == 4 and len(shape) == 4:
        return array.transpose(2, 3, 1, 0)
    return array.reshape(shape) if array.size == np.prod(shape) else array
