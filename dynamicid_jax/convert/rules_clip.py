"""Rules of transformers' CLIP towers, with and without the prefix that newer versions leave out."""

from dynamicid_jax.convert.rules import (
    Ignored,
    Rule,
    Table,
    conv,
    dense,
    embedding,
    norm,
    read_only,
    under,
)

LAYER: Table = (
    *norm("layer_norm1", "norm1"),
    *(rule for name in "qkv" for rule in dense(f"self_attn.{name}_proj", f"attention/{name}")),
    *dense("self_attn.out_proj", "attention/out"),
    *norm("layer_norm2", "norm2"),
    *dense("mlp.fc1", "mlp/fc1"),
    *dense("mlp.fc2", "mlp/fc2"),
)
LAYERS: Table = under("encoder.layers.{i}", "layers_{i}", LAYER)
POSITIONS: Table = (
    embedding("embeddings.position_embedding", "position_embedding"),
    Ignored("embeddings.position_ids"),  # 0, 1, 2, ...: a buffer that older files hold
)

TEXT: Table = (
    embedding("embeddings.token_embedding", "token_embedding"),
    *POSITIONS,
    *LAYERS,
    *norm("final_layer_norm", "final_norm"),
)
VISION: Table = (
    Rule("embeddings.class_embedding", "class_embedding"),
    *conv("embeddings.patch_embedding", "patch_embedding", bias=False),
    *POSITIONS,
    *norm("pre_layrnorm", "pre_norm"),  # spelt so in every checkpoint
    *LAYERS,
    *norm("post_layernorm", "post_norm"),
)

TEXT_RULES: Table = (
    *under("text_model", "text_encoder", TEXT),
    *read_only(under("", "text_encoder", TEXT)),
)
IMAGE_RULES: Table = (
    *under("vision_model", "image_encoder", VISION),
    *read_only(under("", "image_encoder", VISION)),
    *dense("visual_projection", "image_encoder/projection", bias=False),
    # In a whole CLIP model's file only the vision half is ours.
    Ignored("text_model.{path}"),
    Ignored("text_projection.weight"),
    Ignored("logit_scale"),
)
