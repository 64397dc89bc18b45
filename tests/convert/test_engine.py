"""The engine on small tables: what it matches, and that its report leaves nothing out."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dynamicid_jax.convert.container import Entry
from dynamicid_jax.convert.engine import MismatchError, plan, to_ours, to_torch
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.rules import (
    CONV,
    CONV1X1,
    DENSE,
    DENSE_OR_CONV1X1,
    SAME,
    Rule,
    Transform,
    dense,
    under,
)

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("transform", "shape", "ours"),
    [
        (SAME, (3,), (3,)),
        (DENSE, (2, 3), (3, 2)),
        (CONV, (2, 3, 5, 7), (5, 7, 3, 2)),
        (CONV1X1, (2, 3, 1, 1), (3, 2)),
        (DENSE_OR_CONV1X1, (2, 3, 1, 1), (3, 2)),
        (DENSE_OR_CONV1X1, (2, 3), (3, 2)),
    ],
)
def test_layouts(transform: Transform, shape: tuple[int, ...], ours: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).standard_normal(shape)
    there = transform.to_ours(array)
    assert there.shape == transform.our_shape(shape) == ours
    # the entry of output 1 and input 2 stays theirs
    if len(shape) > 1:
        assert np.ravel(there[..., 2, 1])[-1] == np.ravel(array[1, 2])[-1]
    back = transform.to_torch(there)
    assert np.array_equal(back.reshape(shape), array)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 1), (2, 3, 3, 3)])
def test_a_pointwise_kernel_is_nothing_else(shape: tuple[int, ...]) -> None:
    assert CONV1X1.our_shape(shape) != (3, 2)


def test_placeholders_carry_over() -> None:
    table = under("blocks.{i}.list.{j}", "net/blocks_{i}/list_{j}", dense("fc"))
    state = {"blocks.10.list.2.fc.weight": np.ones((2, 3)), "blocks.10.list.2.fc.bias": np.ones(2)}
    expected = {"net/blocks_10/list_2/fc/kernel": (3, 2), "net/blocks_10/list_2/fc/bias": (2,)}
    assert to_ours(table, state, expected).keys() == expected.keys()


def test_a_dot_in_a_name_is_a_dot_only() -> None:
    _, report = plan([Rule("a.b", "a/b")], {"axb": Entry("F32", (1,))}, {"a/b": (1,)}, "file")
    assert (len(report.unexpected), len(report.missing)) == (1, 1)


def test_scalars_stay_scalars() -> None:
    table = [Rule("a", "net/a")]
    flat = to_ours(table, {"a": np.float32(3)}, {"net/a": ()})
    assert flat["net/a"].shape == to_torch(table, flat)["a"].shape == ()


def test_ambiguous_entries_of_both_kinds() -> None:
    table = [
        Rule("x.{i}", "net/x_{i}"),
        Rule("{path}", "net/{path}"),
        Rule("old", "net/new", SAME, True),
    ]
    entries = {name: Entry("F32", (1,)) for name in ("x.1", "new", "y")}
    _, report = plan(table[:2], entries, {"net/new": (1,), "net/y": (1,)}, "file")
    assert report.ambiguous == ["file: x.1 fits 2 rules"]
    both = [Rule("new", "net/new"), table[2]]
    entries = {name: Entry("F32", (1,)) for name in ("new", "old")}
    _, report = plan(both, entries, {"net/new": (1,)}, "file")
    assert report.ambiguous == ["file: old and new both fill net/new"]
    assert report.count == 1


def test_writing_refuses_paths_without_a_rule_or_with_two() -> None:
    table = [Rule("a", "net/a"), Rule("b", "net/a")]
    with pytest.raises(MismatchError, match=r"1 unexpected .net/z.; 1 ambiguous") as caught:
        to_torch(table, {"net/a": np.ones(1), "net/z": np.ones(1)})
    assert caught.value.report.count == 2


def test_one_report_has_everything_at_once(base: Path) -> None:
    """Several files, every kind of defect; none hides another."""
    state = load_file(base / UNET_FILE)
    del state["conv_in.bias"]
    state["down_blocks.0.resnets.0.conv3.weight"] = state.pop(
        "down_blocks.0.resnets.0.conv1.weight"
    )
    state["mid_block.resnets.1.conv2.weight"] = state["mid_block.resnets.1.conv2.weight"][
        :, :-1
    ].copy()
    state["conv_out.bias"] = state["conv_out.bias"].astype(np.int8)
    save_file(state, base / UNET_FILE)
    vae = base / "vae/diffusion_pytorch_model.safetensors"
    state = load_file(vae)
    attention = "encoder.mid_block.attentions.0"
    state[f"{attention}.query.weight"] = state[f"{attention}.to_q.weight"] + 1
    del state["quant_conv.weight"]
    save_file(state, vae)

    with pytest.raises(MismatchError) as caught:
        load_any(base)
    report = caught.value.report
    unet = str(base / UNET_FILE)
    assert report.missing == [
        f"{unet}: conv_in.bias",
        f"{unet}: down_blocks.0.resnets.0.conv1.weight",
        f"{vae}: quant_conv.weight",
    ]
    assert report.unexpected == [f"{unet}: down_blocks.0.resnets.0.conv3.weight [16, 16, 3, 3]"]
    assert len(report.ambiguous) == 1
    assert "query.weight" in report.ambiguous[0]
    assert sorted(report.misshaped) == [
        f"{unet}: conv_out.bias is I8, expected floating point",
        f"{unet}: mid_block.resnets.1.conv2.weight is [48, 47, 3, 3], expected [48, 48, 3, 3]",
    ]
    message = str(caught.value)
    assert "\n" not in message
    assert "3 missing" in message
    assert "2 misshaped" in message
    every = [entry for kind in report.KINDS for entry in getattr(report, kind)]
    assert all(entry in report.text() for entry in every)
