"""Attention with the adapter against the published code's recorded numbers (a 2e-5, gates 1e-5)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from dynamicid_jax.convert.engine import to_ours
from dynamicid_jax.convert.rules_dynamicid import CROSS_ATTENTION, SELF_ATTENTION
from dynamicid_jax.convert.rules_unet import ATTENTION
from dynamicid_jax.inference.layout import covered_cells
from dynamicid_jax.models import gate as gating
from dynamicid_jax.models.configs import AdapterConfig
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.semantic_attention import GATE_MAPS, CrossAttention, SelfAttention
from dynamicid_jax.trees import flatten, nest
from dynamicid_jax.types import Params

TEXT_TOKENS = 77
DEVIATES = {
    "c_overlap_two_ids",  # published: NaN where boxes overlap
    "c_negative_extra_box",  # published: NaN in a box without a person; ours is an error in the pipeline
}
CASES = [name for name in golden.cases("c_") if name not in DEVIATES and "_mix_" not in name]


def weights_of(state: dict, net: nn.Module, *inputs: Any, **options: Any) -> Params:
    """Recorded weights as variables of `net`; "processor." marks the adapter's."""
    shapes = jax.eval_shape(partial(net.init, **options), jax.random.key(0), *inputs)
    mark = "processor."
    adapter = CROSS_ATTENTION if mark + "to_k_ip.weight" in state else SELF_ATTENTION
    parts = {
        "params": (ATTENTION, {k: v for k, v in state.items() if not k.startswith(mark)}),
        "adapter": (
            adapter,
            {k.removeprefix(mark): v for k, v in state.items() if k.startswith(mark)},
        ),
    }
    expected = {name: {k: v.shape for k, v in flatten(shapes[name]).items()} for name in parts}
    return {
        name: nest(to_ours(table, part, expected[name])) for name, (table, part) in parts.items()
    }


def cross_attention(meta: dict) -> CrossAttention:
    return CrossAttention(meta["hidden"], meta["heads"], AdapterConfig(lora_rank=meta["rank"]))


def at_size(meta: dict) -> Callable[..., Any]:
    """`project`, then `attend` on a map of the recorded size."""
    size = (meta["map_height"], meta["map_width"])

    def call(module: CrossAttention, x, text, faces, layout):
        return module.attend(x, module.project(text, faces), layout, size)

    return call


def inputs_of(case: dict, meta: dict, suffix: str = "") -> tuple:
    """Queries, text states and face tokens."""
    context = case["in"]["encoder_hidden_states"]
    faces = context[:, TEXT_TOKENS:].reshape(2, meta["id_num"], meta["num_tokens"], -1)
    return (
        jnp.asarray(case["in"]["hidden_states" + suffix]),
        jnp.asarray(context[:, :TEXT_TOKENS]),
        jnp.asarray(faces),
    )


def recorded_layout(meta: dict, count: int) -> FaceLayout:
    """The recorded case's boxes (published order y0, x0, y1, x1) and strength at call `count`."""
    h, w = meta["map_height"], meta["map_width"]
    boxes = [tuple(map(float, (x0, y0, x1, y1))) for y0, x0, y1, x1 in meta["bbox_used"]]
    cells = np.stack([covered_cells(box, h, w) for box in boxes]).reshape(1, len(boxes), -1)
    return FaceLayout.free(
        meta["id_num"],
        inside={f"{h}x{w}": jnp.asarray(cells)},
        strength=float(meta["infer_scale"] if count < meta["infer_end"] else 0),
        identity_scale=meta["id_scale"],
        gated=meta["activate_query"],
    )


def attend(
    case: dict, meta: dict, count: int, suffix: str = ""
) -> tuple[np.ndarray, np.ndarray | None]:
    """Output and gate (after layout strength) of one recorded call."""
    layout = recorded_layout(meta, count)
    size = (meta["map_height"], meta["map_width"])
    net = cross_attention(meta)
    inputs = (*inputs_of(case, meta, suffix), layout)
    weights = weights_of(case["sd"], net, *inputs, method=at_size(meta))
    out, state = net.apply(weights, *inputs, method=at_size(meta), mutable=[GATE_MAPS])
    gate = state.get(GATE_MAPS, {}).get("gate")
    if gate is not None:
        gate = gating.apply_layout_strength(
            gate, layout.inside["{}x{}".format(*size)], layout.strength
        )
    return out, gate


@pytest.mark.parametrize("name", golden.cases("b_"))
def test_self_attention_with_lora(name: str) -> None:
    case, meta = golden.load(name)
    adapter = AdapterConfig(
        lora_rank=meta["rank"], lora_alpha=meta["network_alpha"], lora_scale=meta["lora_scale"]
    )
    net, x = (
        SelfAttention(meta["hidden"], meta["heads"], adapter),
        jnp.asarray(case["in"]["hidden_states"]),
    )
    out = net.apply(weights_of(case["sd"], net, x), x)
    golden.close(out, case["out"]["output"], 2e-5)


@pytest.mark.parametrize("name", CASES)
def test_cross_attention_and_its_gate(name: str) -> None:
    case, meta = golden.load(name)
    suffixes = [""] if "output" in case["out"] else [str(count) for count in range(3)]
    for count, suffix in enumerate(suffixes, start=meta["counts"][0]):
        out, gate = attend(case, meta, count, suffix)
        golden.close(out, case["out"]["output" + suffix], 2e-5)
        if meta["activate_query"]:
            recorded = case["out"]["activate_weight" + suffix]
            assert np.abs(gate - recorded).max() <= 1e-5 * max(1, np.abs(recorded).max())


def test_overlapping_boxes_equal_the_published_numbers_wherever_those_exist() -> None:
    case, meta = golden.load("c_overlap_two_ids")
    out, _ = attend(case, meta, 0)
    recorded = case["out"]["output"]
    defined = np.isfinite(recorded)
    assert not defined.all()
    assert np.isfinite(out).all()
    golden.close(np.where(defined, out, 0), np.where(defined, recorded, 0), 2e-5)


def test_lora_of_keys_and_values_sees_text_only() -> None:
    case, meta = golden.load("c_two_ids")
    net = cross_attention(meta)
    x, text, faces = inputs_of(case, meta)
    inputs = (x, text, faces, recorded_layout(meta, 0))
    weights = weights_of(case["sd"], net, *inputs, method=at_size(meta))
    before = net.apply(weights, text, faces, method="project")
    for name in ("to_k", "to_v"):
        weights["adapter"][name]["lora_up"] = weights["adapter"][name]["lora_up"] + 1
    after = net.apply(weights, text, faces, method="project")
    assert np.abs(before.text.key - after.text.key).max() > 1e-3
    assert (before.faces.key == after.faces.key).all()
    assert (before.faces.value == after.faces.value).all()
