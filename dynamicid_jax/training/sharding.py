"""Where arrays lie: a mesh with axes "data" and "fsdp", and one table of rules.

The batch is cut over both axes. Weights, their averages and the optimizer's moments are whole on every device when fsdp
is 1 (pure data parallel: the only collectives of a step are the trained gradients' sums); otherwise the first axis
that a rule gives to "fsdp", and that divides, is cut.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dynamicid_jax.config import MeshConfig
from dynamicid_jax.errors import InputError

BATCH = PartitionSpec(("data", "fsdp"))

# Leaf name, rank: logical axes. Anything else is not cut.
LEAVES = {
    ("kernel", 2): ("in", "out"),
    ("kernel", 4): (None, None, "in", "out"),
    ("lora_down", 2): ("in", "rank"),
    ("lora_up", 2): ("rank", "out"),
    ("embedding", 2): ("vocabulary", "out"),
}
# Logical axis: mesh axis.
RULES = {"in": "fsdp", "out": "fsdp", "vocabulary": "fsdp", "rank": None}
SMALLEST = 2**16  # values; cutting less costs more in messages than it saves in memory


def make_mesh(config: MeshConfig, devices: Any = None) -> Mesh:
    """The mesh over all devices of all hosts.

    Raises:
        InputError: sizes that do not use every device exactly once.
    """
    devices = list(jax.devices() if devices is None else devices)
    count, fsdp = len(devices), config.fsdp
    data = count // max(fsdp, 1) if config.data == -1 else config.data
    if fsdp < 1 or data < 1 or data * fsdp != count:
        raise InputError(
            f"mesh: data {config.data} x fsdp {fsdp} does not use {count} devices exactly; "
            "data=-1 takes what fsdp leaves, and fsdp must divide the number of devices"
        )
    return jax.make_mesh(
        (data, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2, devices=devices
    )


def check_batch(batch_size: int, parts: int, mesh: Mesh, name: str = "batch_size") -> None:
    """Every device and every part must get the same number of examples.

    Raises:
        InputError: they cannot.
    """
    devices = mesh.devices.size
    if batch_size % (devices * parts):
        unit = devices * parts
        near = max(unit, round(batch_size / unit) * unit)
        raise InputError(
            f"{name} {batch_size} does not divide by {devices} devices x {parts} accumulation parts; "
            f"use a multiple of {unit}, such as {near}"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Cut along the first axis."""
    return NamedSharding(mesh, BATCH)


def tree_shardings(tree: Any, mesh: Mesh) -> Any:
    """A sharding for every leaf of a tree of weights (or of a state that holds such trees)."""

    def of(path: Any, leaf: Any) -> NamedSharding:
        name = str(getattr(path[-1], "key", getattr(path[-1], "name", ""))) if path else ""
        return NamedSharding(mesh, _spec(name, tuple(leaf.shape), mesh.shape["fsdp"]))

    return jax.tree_util.tree_map_with_path(of, tree)


def _spec(name: str, shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    logical = LEAVES.get((name, len(shape)), ())
    if fsdp == 1 or np.prod(shape) < SMALLEST:
        return PartitionSpec()
    for place, axis in enumerate(logical):
        if axis and RULES[axis] == "fsdp" and shape[place] % fsdp == 0:
            return PartitionSpec(*[None] * place, "fsdp")
    return PartitionSpec()


def put(tree: Any, shardings: Any) -> Any:
    """Host arrays, the same on every host, as global arrays."""

    def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree, shardings)


def put_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, jax.Array]:
    """This host's rows, arrays of the host or of its devices, as its share of the global batch."""
    sharding = batch_sharding(mesh)
    if sharding.is_fully_addressable:
        return {name: jax.device_put(rows, sharding) for name, rows in batch.items()}
    return {
        name: jax.make_array_from_process_local_data(sharding, np.asarray(rows))
        for name, rows in batch.items()
    }


def per_device_bytes(tree: Any) -> int:
    """Bytes that one device holds of a tree of global arrays or of shapes with shardings."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        shape = (
            leaf.sharding.shard_shape(leaf.shape) if getattr(leaf, "sharding", None) else leaf.shape
        )
        total += int(np.prod(shape)) * leaf.dtype.itemsize
    return total
