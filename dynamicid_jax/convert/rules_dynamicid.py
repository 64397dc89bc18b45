"""Rules of the published files SAA.bin, IMR.bin and key_point_encoder.bin (METHOD section 10)."""

from collections.abc import Iterator

from dynamicid_jax.convert.rules import (
    CONV,
    DENSE,
    Ignored,
    Rule,
    Table,
    dense,
    norm,
    under,
)
from dynamicid_jax.models.configs import UNetConfig


def attention_order(config: UNetConfig) -> Iterator[tuple[str, str, bool]]:
    """The attentions in SAA_module's order: down blocks, up blocks, mid block; self before cross.

    Yields:
        diffusers' name of the attention, our path of it, and whether it is a cross-attention.
    """
    levels = len(config.block_channels)
    down = [
        (f"down_blocks{{s}}{i}", config.layers_per_block, config.transformer_depth[i])
        for i in range(levels)
    ]
    up = [
        (
            f"up_blocks{{s}}{i}",
            config.layers_per_block + 1,
            config.transformer_depth[levels - 1 - i],
        )
        for i in range(levels)
    ]
    for block, count, depth in (*down, *up, ("mid_block", 1, config.mid_transformer_depth)):
        for j in range(count if depth else 0):
            for k in range(depth):
                theirs = f"{block.format(s='.')}.attentions.{j}.transformer_blocks.{k}"
                ours = f"{block.format(s='_')}/attentions_{j}/transformer_blocks_{k}"
                yield f"{theirs}.attn1", f"{ours}/self_attention", False
                yield f"{theirs}.attn2", f"{ours}/cross_attention", True


def _lora(name: str) -> list[Rule]:
    """One projection's low-rank pair."""
    return [
        Rule(f"{name}_lora.{half}.weight", f"{name}/lora_{half}", DENSE) for half in ("down", "up")
    ]


SELF_ATTENTION: Table = [
    rule for name in ("to_q", "to_k", "to_v", "to_out") for rule in _lora(name)
]
CROSS_ATTENTION: Table = (
    *SELF_ATTENTION,
    *dense("to_k_ip", "face_k", bias=False),
    *dense("to_v_ip", "face_v", bias=False),
)
FEED_FORWARD: Table = (
    *norm("0", "norm"),
    *dense("1", "proj_in", bias=False),
    *dense("3", "proj_out", bias=False),
)
PROJECTIONS: Table = [
    rule for name in ("to_q", "to_kv", "to_out") for rule in dense(name, bias=False)
]
PERCEIVER_ATTENTION: Table = (
    *norm("norm1", "norm_context"),
    *norm("norm2", "norm_query"),
    *PROJECTIONS,
)
FACE_PROJECTION: Table = (
    *dense("proj.0", "id_in"),
    *dense("proj.2", "id_out"),
    *norm("norm", "id_norm"),
    *dense("perceiver_resampler.proj_in", "resampler/proj_in"),
    *under(
        "perceiver_resampler.layers.{i}.0", "resampler/layers_{i}/attention", PERCEIVER_ATTENTION
    ),
    *under("perceiver_resampler.layers.{i}.1", "resampler/layers_{i}/ff", FEED_FORWARD),
    *dense("perceiver_resampler.proj_out", "resampler/proj_out"),
    *norm("perceiver_resampler.norm_out", "resampler/norm_out"),
)


def saa_rules(config: UNetConfig) -> Table:
    """SAA.bin: the face projection, and the adapter of a UNet of this shape."""
    table = under("proj_module", "face_projection", FACE_PROJECTION)
    for index, (_, path, is_cross) in enumerate(attention_order(config)):
        attention = CROSS_ATTENTION if is_cross else SELF_ATTENTION
        table += under(f"SAA_module.{index}", f"adapter/{path}", attention)
    return table


IMR_LAYER: Table = (
    *under("0", "cross_attention", PERCEIVER_ATTENTION),
    *under("1", "self_attention", (*norm("norm1", "norm"), *PROJECTIONS)),
    *under("2", "ff", FEED_FORWARD),
)
IMR_RULES: Table = under(
    "",
    "imr",
    (
        *norm("feature_fusion.0", "motion/norm_in"),
        *dense("feature_fusion.1", "motion/proj_in"),
        *norm("feature_fusion.3", "motion/norm_mid"),
        *dense("feature_fusion.4", "motion/proj_out"),
        *norm("norm_in"),
        *dense("proj_in"),
        *under("disentangleNet.{k}", "disentangle_{k}", IMR_LAYER),
        *under("entangleNet.{k}", "entangle_{k}", IMR_LAYER),
        *norm("norm_out"),
        *dense("proj_out"),
        Rule("null_keypoint", "null_keypoint"),  # ours alone: published files lack it
    ),
)

_BLOCK = "blocks.{i}.{j}.conv_block"
_STATISTICS = "keypoint_stats/blocks_{i}_{j}/norm"
KEYPOINT_RULES: Table = (
    *dense(f"{_BLOCK}.0", "keypoint_encoder/blocks_{i}_{j}/conv", by=CONV),
    *norm(f"{_BLOCK}.1", "keypoint_encoder/blocks_{i}_{j}/norm"),
    Rule(f"{_BLOCK}.1.running_mean", f"{_STATISTICS}/mean"),
    Rule(f"{_BLOCK}.1.running_var", f"{_STATISTICS}/var"),
    # Counts training steps; with a fixed momentum nothing reads it. Written as 0.
    Ignored(f"{_BLOCK}.1.num_batches_tracked", f"{_STATISTICS}/mean", fill=0),
)
