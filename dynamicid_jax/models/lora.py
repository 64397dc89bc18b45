"""Low-rank adaptation: y = x W + s x A B, with A `lora_down` [c, r] and B `lora_up` [r, k].

A and B live in the collection "adapter", W in "params": freezing, loading and exporting an adapter is choosing a
collection. For inference `fold` adds s A B to W, after which the network is built with `lora_rank = 0`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.models.configs import AdapterConfig
from dynamicid_jax.types import Params


def lora_factor(config: AdapterConfig) -> float:
    """s: the scale, times alpha / rank when an alpha is given (METHOD section 3)."""
    by_rank = 1.0 if config.lora_alpha is None else config.lora_alpha / config.lora_rank
    return config.lora_scale * by_rank


def with_factor_one(adapter: Params, config: AdapterConfig) -> tuple[Params, AdapterConfig]:
    """The same adapter with s = 1, as files without an alpha mean it: B takes s in."""
    factor = lora_factor(config)
    if factor == 1:
        return adapter, config

    def scaled(tree: Params) -> Params:
        return {
            name: part * factor
            if name == "lora_up"
            else (scaled(part) if isinstance(part, dict) else part)
            for name, part in tree.items()
        }

    return scaled(adapter), replace(config, lora_alpha=None, lora_scale=1.0)


def adapter_weight(
    module: nn.Module, name: str, init: Callable[..., Array], shape: tuple[int, ...]
) -> Array:
    """A trainable weight of `module` in the collection "adapter"."""
    start = lambda: init(module.make_rng("params"), shape)  # noqa: E731
    return jnp.asarray(module.variable("adapter", name, start).value)


class LoRADense(nn.Module):
    """A dense layer with an optional low-rank side path."""

    features: int
    use_bias: bool = True
    adapter: AdapterConfig | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*a c"]) -> Float[Array, "*a k"]:
        """Maps c = x.shape[-1] to k = `features`."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        x = x.astype(self.dtype)
        y = x @ kernel.astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = y + jnp.broadcast_to(bias.astype(self.dtype), y.shape)
        if self.adapter is not None and self.adapter.lora_rank:
            rank = self.adapter.lora_rank
            start = nn.initializers.normal(1 / rank)
            down = adapter_weight(self, "lora_down", start, (x.shape[-1], rank))
            up = adapter_weight(self, "lora_up", nn.initializers.zeros, (rank, self.features))
            y = y + lora_factor(self.adapter) * (
                (x @ down.astype(self.dtype)) @ up.astype(self.dtype)
            )
        return y


class AdapterDense(nn.Module):
    """A bias-free dense layer that belongs to the adapter as a whole: the face branch's Wk and Wv."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*a c"]) -> Float[Array, "*a k"]:
        """Maps c = x.shape[-1] to k = `features`."""
        shape = (x.shape[-1], self.features)
        kernel = adapter_weight(self, "kernel", nn.initializers.lecun_normal(), shape)
        return x.astype(self.dtype) @ kernel.astype(self.dtype)


def fold(
    base: Params, adapter: Params, config: AdapterConfig
) -> tuple[Params, Params, AdapterConfig]:
    """Adds every low-rank product to its base kernel.

    Kernels are folded one at a time, and `base` is emptied of them as they go, so that the peak is one kernel above the
    size of the model.

    Returns:
        the folded base, what is left of the adapter (Wk and Wv), and its config with `lora_rank` 0.
    """
    if not config.lora_rank:
        return base, adapter, config
    return *_fold_level(base, adapter, lora_factor(config)), replace(config, lora_rank=0)


def _fold_level(base: Params, adapter: Mapping[str, Any], factor: float) -> tuple[Params, Params]:
    rest: Params = {}
    for name, part in adapter.items():
        if "lora_down" in part:
            base[name]["kernel"] = _folded(
                base[name].pop("kernel"), part["lora_down"], part["lora_up"], factor
            )
        elif name in base:
            base[name], rest_below = _fold_level(base[name], part, factor)
            if rest_below:
                rest[name] = rest_below
        else:
            rest[name] = part
    return base, rest


@jax.jit
def _folded(
    kernel: Float[Array, "c k"], down: Float[Array, "c r"], up: Float[Array, "r k"], factor: Any
) -> Float[Array, "c k"]:
    # float32: bfloat16 kernels would lose the low-rank product's small entries before the sum.
    product = jnp.dot(down.astype(jnp.float32), up.astype(jnp.float32), precision="highest")
    return (kernel.astype(jnp.float32) + factor * product).astype(kernel.dtype)
