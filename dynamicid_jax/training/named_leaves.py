"""A pytree as named arrays that a file can hold, and back.

    tree  --storable-->  {"a/b": array}  --(file)-->  {"a/b": array}  --put_back-->  tree

Names are the path of a leaf. What a file cannot hold as it is: a typed PRNG key (stored as its bits), an array without
elements (only described), a Python number (stored as an array of rank 0).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.trees import flatten, nest

SHOWN = 5  # names in a message


def named(tree: Any) -> dict[str, Any]:
    """The leaves under the names of their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") or "value" for path, _ in leaves
    ]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"two leaves of the state are called {twice!r}; a name must not hold a slash"
        )
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))


def nested(arrays: dict[str, Any]) -> dict[str, Any]:
    """As nested dicts, which is what the file shows to other readers."""
    return nest(arrays)


def describe(tree: Any) -> dict[str, list[Any]]:
    """{name: [shape, dtype]} of every leaf, for JSON."""
    return {name: _kind(leaf) for name, leaf in named(tree).items()}


def storable(tree: Any) -> dict[str, Any]:
    """The arrays to write; those on the host are copied, so that the caller may go on changing them."""
    arrays = {}
    for name, leaf in named(tree).items():
        if _is_key(leaf):
            leaf = jax.random.key_data(leaf)
        elif not isinstance(leaf, jax.Array):
            leaf = np.array(leaf)
        if leaf.size:
            arrays[name] = leaf
    return arrays


def target(like: Any, stored: dict[str, list[Any]], where: str) -> dict[str, Any]:
    """What to read a file's arrays into: shape, dtype and sharding by name.

    Raises:
        WeightsError: the file's arrays are not those of `like`; names the differing ones.
    """
    wanted = describe(like)
    lacks = [name for name in wanted if name not in stored]
    unknown = [name for name in stored if name not in wanted]
    other = [
        f"{name} as {_words(stored[name])} instead of {_words(kind)}"
        for name, kind in wanted.items()
        if name in stored and stored[name] != kind
    ]
    kinds = (("lacks", lacks), ("holds the unknown", unknown), ("has", other))
    if wrong := [f"it {verb} {_some(names)}" for verb, names in kinds if names]:
        raise WeightsError(
            f"{where}: the checkpoint is of another model or optimizer: {'; '.join(wrong)}. "
            "Resume with the config it was made with, or choose another --workdir"
        )
    return {name: _slot(leaf) for name, leaf in named(like).items() if 0 not in np.shape(leaf)}


def plain(stored: dict[str, list[Any]]) -> dict[str, Any]:
    """The same for NumPy arrays as they are in the file; keys come as their bits."""
    return {
        name: np.empty(0, np.uint32 if dtype.startswith("key<") else jnp.dtype(dtype))
        for name, (shape, dtype) in stored.items()
        if 0 not in shape
    }


def put_back(found: dict[str, Any], like: Any) -> Any:
    """The arrays that were read, in the form of `like`."""
    arrays = flatten(found)
    leaves = [_as(leaf, arrays.get(name)) for name, leaf in named(like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _kind(leaf: Any) -> list[Any]:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return [list(np.shape(leaf)), str(dtype)]


def _slot(leaf: Any) -> Any:
    """The place of one leaf, as Orbax wants it: abstract with a sharding, or an array of NumPy's."""
    if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
        return np.asarray(leaf)
    form = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(form.shape, form.dtype, sharding=leaf.sharding or _everywhere())


def _everywhere() -> jax.sharding.Sharding:
    """Whole on every device, for leaves that do not say where they belong."""
    if jax.process_count() == 1:
        return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    mesh = jax.make_mesh((jax.device_count(),), ("all",), axis_types=(jax.sharding.AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec())


def _as(leaf: Any, array: Any) -> Any:
    """One array that was read, as its leaf was."""
    if array is None:  # without elements, hence not in the file
        empty = np.zeros(leaf.shape, leaf.dtype)
        return jax.device_put(empty, leaf.sharding) if isinstance(leaf, jax.Array) else empty
    if _is_key(leaf):
        return jax.random.wrap_key_data(array, impl=leaf.dtype._impl.name)
    if isinstance(leaf, bool | int | float | complex):
        return type(leaf)(array.item())
    return array


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _words(kind: list[Any]) -> str:
    return f"{kind[1]}{kind[0]}"
