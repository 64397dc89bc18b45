"""Rules of the diffusers AutoencoderKL, with both generations of names for its attentions."""

from dynamicid_jax.convert.rules import (
    CONV1X1,
    DENSE_OR_CONV1X1,
    Table,
    conv,
    dense,
    norm,
    read_only,
    under,
)

RESNET: Table = (
    *norm("norm1"),
    *conv("conv1"),
    *norm("norm2"),
    *conv("conv2"),
    *dense("conv_shortcut", by=CONV1X1),
)
# Names of older diffusers; files converted from the original model keep its 1x1 convolutions.
OLD_NAMES = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out"))
ATTENTION: Table = (
    *norm("group_norm", "norm"),
    *(rule for name in ("to_q", "to_k", "to_v") for rule in dense(name)),
    *dense("to_out.0", "to_out"),
    *read_only([rule for names in OLD_NAMES for rule in dense(*names, by=DENSE_OR_CONV1X1)]),
)
MID_BLOCK: Table = (
    *under("resnets.{j}", "resnets_{j}", RESNET),
    *under("attentions.0", "attention", ATTENTION),
)


def _half(blocks: str, resampler: str) -> Table:
    """Encoder or decoder."""
    return (
        *conv("conv_in"),
        *under(f"{blocks}.{{i}}.resnets.{{j}}", f"{blocks}_{{i}}/resnets_{{j}}", RESNET),
        *conv(f"{blocks}.{{i}}.{resampler}.{{j}}.conv", f"{blocks}_{{i}}/{resampler}_{{j}}"),
        *under("mid_block", "mid_block", MID_BLOCK),
        *norm("conv_norm_out"),
        *conv("conv_out"),
    )


VAE_RULES: Table = (
    *under("encoder", "vae/encoder", _half("down_blocks", "downsamplers")),
    *under("decoder", "vae/decoder", _half("up_blocks", "upsamplers")),
    *dense("quant_conv", "vae/quant_conv", by=CONV1X1),
    *dense("post_quant_conv", "vae/post_quant_conv", by=CONV1X1),
)
