"""DynamicID in JAX: pictures of one or several people from a photograph each, with editable expression and pose."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamicid_jax.inference.people import Person as Person
    from dynamicid_jax.inference.pipeline import DynamicIDPipeline as DynamicIDPipeline
    from dynamicid_jax.inference.pipeline import Output as Output

__version__ = "0.1.0"
__all__ = ["DynamicIDPipeline", "Output", "Person", "__version__"]

_HOMES = {
    "DynamicIDPipeline": "dynamicid_jax.inference.pipeline",
    "Output": "dynamicid_jax.inference.pipeline",
    "Person": "dynamicid_jax.inference.people",
}


def __getattr__(name: str) -> Any:
    """Imports the pipeline on first use, so that `import dynamicid_jax` and `dynamicid --help` stay quick."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dynamicid_jax' has no attribute {name!r}")
