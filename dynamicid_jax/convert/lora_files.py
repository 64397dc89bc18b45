"""LoRA files for the base model, such as LCM's or Hyper-SD's: read strictly, and added to the base's kernels.

    W' = W + scale * alpha / r * up @ down          r: the file's rank; alpha: the file's, or r where it has none

A convolution's `down` is a convolution with r outputs and its `up` a pointwise one; together they are one.
Names that are understood, for any layer of the UNet and of the text encoder:

    lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight    kohya, .alpha beside it
    unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight            diffusers (PEFT)
    unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight         diffusers
    unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight    older ones

with `lora_te` and `text_encoder` in the place of `unet` for the text encoder. Which layer a name means is looked up in
the rule tables of the checkpoints themselves.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dynamicid_jax.convert.engine import Report, torch_names
from dynamicid_jax.convert.parts import checked_shapes
from dynamicid_jax.convert.rules import Transform
from dynamicid_jax.convert.rules_clip import TEXT_RULES
from dynamicid_jax.convert.rules_unet import unet_rules
from dynamicid_jax.convert.tensors import open_any
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.types import Number, Params

KOHYA = {"unet": "lora_unet_", "text_encoder": "lora_te_"}
NAME = re.compile(
    r"(?:base_model\.model\.)?(?P<layer>.+?)"
    r"(?:[._]lora[._](?P<half>down|up|A|B)(?:\.\w+)?\.weight|\.(?P<alpha>alpha))"
)
HALVES = {"down": "down", "A": "down", "up": "up", "B": "up"}
ADVICE = "expected a LoRA for this base (SD1.5) in the names of kohya or diffusers"

LoRAs = str | Path | Sequence[str | Path | tuple[str | Path, Number]]
"""One file, or several, each with a scale or without (1)."""


@dataclass(frozen=True)
class Target:
    """A kernel that a LoRA may change: our path, the checkpoint's shape of it, and the way between the two."""

    path: str
    shape: tuple[int, ...]
    transform: Transform


@dataclass
class Pair:
    """What a file holds for one layer; shapes as in PyTorch: down [r, in, ...], up [out, r, ...]."""

    down: np.ndarray | None = None
    up: np.ndarray | None = None
    alpha: float | None = None

    def product(self) -> Float[np.ndarray, "..."]:
        """`alpha / r * up @ down`, [out, in, ...]."""
        assert self.down is not None
        assert self.up is not None
        rank = self.down.shape[0]
        up = self.up.reshape(self.up.shape[0], rank).astype(np.float32)
        factor = 1.0 if self.alpha is None else self.alpha / rank
        product = factor * up @ self.down.reshape(rank, -1).astype(np.float32)
        return product.reshape(len(up), *self.down.shape[1:])


@dataclass(frozen=True)
class LoRA:
    """A file that was read.

    Attributes:
        name: of the file.
        sha256: of its bytes.
        changes: what it adds to each of our kernels at scale 1, by path, laid out as ours.
    """

    name: str
    sha256: str
    changes: Mapping[str, Float[np.ndarray, "..."]]


def read_lora(path: str | Path, config: ModelConfig) -> LoRA:
    """A LoRA file for a base of this shape.

    Raises:
        WeightsError: a damaged file, or tensors that do not fit this base; all of them are counted, none is left out.
    """
    file = Path(path).expanduser()
    tensors = open_any(file)
    named = dict(_targets(config))
    pairs: dict[str, Pair] = {}
    report = Report()
    for name, array in tensors.read():
        match = NAME.fullmatch(name)
        layer = _plain(match["layer"]) if match else ""
        if match is None or layer not in named:
            report.unexpected.append(f"{file.name}: {name} {list(array.shape)}")
            continue
        pair = pairs.setdefault(layer, Pair())
        if match["alpha"]:
            pair.alpha = float(array.reshape(-1)[0])
        else:
            setattr(pair, HALVES[match["half"]], array)
    if not pairs and not report.count:
        report.missing.append(f"{file.name}: holds no low-rank pair")
    for layer, pair in pairs.items():
        _check(f"{file.name}: {layer}", pair, named[layer], report)
    report.check(ADVICE)
    changes = {
        named[layer].path: named[layer].transform.to_ours(
            pair.product().reshape(named[layer].shape)
        )
        for layer, pair in pairs.items()
    }
    return LoRA(file.name, hashlib.sha256(file.read_bytes()).hexdigest(), changes)


def add_loras(weights: Params, config: ModelConfig, loras: LoRAs | None) -> list[dict[str, Any]]:
    """Adds files to the base's kernels, in place; returns what a picture's recipe says of them.

    Args:
        weights: {component: nested parameters}; float32 sums are rounded to the kernels' own type.
        config: of the model.
        loras: see `LoRAs`.

    Raises:
        InputError: a scale that is not a finite number.
        WeightsError: see `read_lora`.
    """
    records = []
    for path, scale in _listed(loras):
        lora = read_lora(path, config)
        for place, change in lora.changes.items():
            *parents, leaf = place.split("/")
            level = weights
            for parent in parents:
                level = level[parent]
            level[leaf] = _added(level[leaf], np.ascontiguousarray(change), scale)
        records.append({"name": lora.name, "sha256": lora.sha256, "scale": scale})
    return records


@jax.jit
def _added(kernel: Any, change: Any, scale: Any) -> Any:
    # float32: a bfloat16 kernel would lose the change's small entries before the sum.
    return (kernel.astype(jnp.float32) + scale * change).astype(kernel.dtype)


def _listed(loras: LoRAs | None) -> Iterator[tuple[str | Path, float]]:
    """Files with their scales."""
    if loras is None:
        return
    for one in [loras] if isinstance(loras, str | Path) else loras:
        path, scale = one if isinstance(one, tuple) else (one, 1.0)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not np.isfinite(scale):
            raise InputError(f"lora: expected a finite number as scale of {path}, got {scale!r}")
        yield path, float(scale)


def _targets(config: ModelConfig) -> Iterator[tuple[str, Target]]:
    """Every kernel under the names that files give its layer."""
    tables = {"unet": unet_rules(config.unet), "text_encoder": TEXT_RULES}
    for path, shape in checked_shapes(config).items():
        component = path.split("/")[0]
        if component not in tables or not path.endswith("/kernel"):
            continue
        name, transform = next(torch_names(tables[component], path))
        target = Target(path, transform.torch_shape(shape), transform)
        layer = name.removesuffix(".weight")
        yield KOHYA[component] + layer.replace(".", "_"), target
        yield f"{component}.{layer}", target
        if component == "unet":  # files of the UNet alone leave its name out
            yield layer, target


def _plain(layer: str) -> str:
    """A layer's name as the checkpoint's own: older files name processors, and an output without its number."""
    layer = layer.replace(".processor.", ".")
    return layer + ".0" if layer.endswith(".to_out") else layer


def _check(where: str, pair: Pair, target: Target, report: Report) -> None:
    """Both halves are there and their product is a kernel of the layer."""
    if pair.down is None or pair.up is None:
        report.missing.append(f"{where}: {'down' if pair.down is None else 'up'}")
        return
    down, up = pair.down.shape, pair.up.shape
    pointwise = all(side == 1 for side in up[2:])
    fits = len(down) >= 2 and len(up) >= 2 and up[1] == down[0] and pointwise
    if not fits or _trimmed((up[0], *down[1:])) != _trimmed(target.shape):
        report.misshaped.append(
            f"{where} is {list(down)} and {list(up)}, expected a product of {list(target.shape)}"
        )


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without a pointwise kernel's sides: files store such layers as dense ones, too."""
    return shape[:2] if all(side == 1 for side in shape[2:]) else shape
