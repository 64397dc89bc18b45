"""Rules of a LoRA by itself, as diffusers and peft name it: A [r, in] is lora_down, B [out, r] is lora_up.

    unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight

Without an alpha in the file its factor is 1, as ours (models/lora.py, `with_factor_one`).
"""

from dynamicid_jax.convert.rules import DENSE, Rule, Table
from dynamicid_jax.convert.rules_dynamicid import attention_order
from dynamicid_jax.models.configs import UNetConfig

PROJECTIONS = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"}
HALVES = {"lora_down": "lora_A", "lora_up": "lora_B"}


def lora_rules(config: UNetConfig) -> Table:
    """The table of a UNet's LoRA; the face branch's Wk and Wv are no part of it."""
    return [
        Rule(f"unet.{theirs}.{name}.{half}.weight", f"adapter/{path}/{ours}/{our_half}", DENSE)
        for theirs, path, _ in attention_order(config)
        for ours, name in PROJECTIONS.items()
        for our_half, half in HALVES.items()
    ]
