"""Parameter trees as flat dicts and back."""

from collections.abc import Mapping
from typing import Any

from dynamicid_jax.types import Params


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to {"a/b/c": leaf}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        inner = isinstance(value, Mapping)
        flat.update(flatten(value, f"{prefix}{name}/") if inner else {prefix + name: value})
    return flat


def nest(flat: Mapping[str, Any]) -> Params:
    """The inverse of `flatten`."""
    tree: Params = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        level = tree
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return tree
