"""Rules of the diffusers UNet of SD1.5 (`unet/diffusion_pytorch_model*`)."""

from dynamicid_jax.convert.rules import CONV1X1, DENSE, Table, conv, dense, norm, under
from dynamicid_jax.models.configs import UNetConfig

BLOCKS = (
    ("down_blocks.{i}", "down_blocks_{i}"),
    ("up_blocks.{i}", "up_blocks_{i}"),
    ("mid_block", "mid_block"),
)

RESNET: Table = (
    *norm("norm1"),
    *conv("conv1"),
    *dense("time_emb_proj"),
    *norm("norm2"),
    *conv("conv2"),
    *dense("conv_shortcut", by=CONV1X1),
)
ATTENTION: Table = (
    *(rule for name in ("to_q", "to_k", "to_v") for rule in dense(name, bias=False)),
    *dense("to_out.0", "to_out"),
)
TRANSFORMER_BLOCK: Table = (
    *norm("norm1"),
    *under("attn1", "self_attention", ATTENTION),
    *norm("norm2"),
    *under("attn2", "cross_attention", ATTENTION),
    *norm("norm3"),
    *dense("ff.net.0.proj", "ff/proj_in"),
    *dense("ff.net.2", "ff/proj_out"),
)


def unet_rules(config: UNetConfig) -> Table:
    """The table; `config.linear_projection` says how the transformers' projections are stored."""
    projection = DENSE if config.linear_projection else CONV1X1
    transformer: Table = (
        *norm("norm"),
        *dense("proj_in", by=projection),
        *under("transformer_blocks.{k}", "transformer_blocks_{k}", TRANSFORMER_BLOCK),
        *dense("proj_out", by=projection),
    )
    block: Table = (
        *under("resnets.{j}", "resnets_{j}", RESNET),
        *under("attentions.{j}", "attentions_{j}", transformer),
        *conv("downsamplers.{j}.conv", "downsamplers_{j}"),
        *conv("upsamplers.{j}.conv", "upsamplers_{j}"),
    )
    whole: Table = (
        *conv("conv_in"),
        *dense("time_embedding.linear_{i}", "time_embedding/linear_{i}"),
        *(rule for names in BLOCKS for rule in under(*names, block)),
        *norm("conv_norm_out"),
        *conv("conv_out"),
    )
    return under("", "unet", whole)
