"""The gate of Semantic-Activated Attention, as pure functions on arrays (METHOD section 3).

For queries Q and face keys K of all people's tokens:

    (1)  g_q = sum over heads and face tokens of  Q_q . K_t / sqrt(d)  =  Q_q . (sum_t K_t) / sqrt(d)
    (2)  level = (g - min g) / (max g - min g)  over the queries of one sample; 1 everywhere if max g = min g
    (3)  gate = level, 0 where level < threshold
    (4)  routing: inside boxes only the people of those boxes are seen; outside all boxes everybody competes
    (5)  layout strength s: gate + s inside boxes, gate / (s + 1) outside
    (6)  face branch = softmax over the visible people's tokens, then V; a mixed person's attention outputs are
         averaged with weights that sum to 1

(1) to (3) are one matrix-vector product and a min-max: the gate is free. It is computed in float32,
because bfloat16 keeps about three digits and the min-max of (2) needs more.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float


@struct.dataclass
class FaceLayout:
    """Where people go, for one call of the UNet; axes r only where many layouts are stacked for a vmap.

    Attributes:
        inside: per map size "HxW", which cells each slot's box covers; no entry: no boxes.
        mix: weight of person p in slot s; the identity unless people are mixed. Every column sums to 1, or to 0 in a
            spare slot, which plays no part; so does a person whose row is 0.
        strength: s of (5), >= 0; 0 where there are no boxes.
        identity_scale: factor of the whole face branch.
        gated: False switches gate and boxes off (ablation): the face branch acts everywhere with weight 1.
    """

    mix: Float[Array, "*r p s"]
    inside: dict[str, Bool[Array, "*r #b s q"]] = struct.field(default_factory=dict)
    strength: Float[Array, "*r"] | float = 0.0
    identity_scale: Float[Array, "*r"] | float = 1.0
    gated: bool = struct.field(pytree_node=False, default=True)

    @classmethod
    def free(cls, people: int, **changes: Any) -> "FaceLayout":
        """No boxes: `people` persons, each in a slot of its own."""
        return cls(mix=jnp.eye(people), **changes)


def raw_gate(
    query: Float[Array, "b q n d"], face_key: Float[Array, "b p t n d"], mix: Float[Array, "p s"]
) -> Float[Array, "b q"]:
    """(1), in float32; a mixed person's tokens count with their weight, so weight 0 removes a person."""
    weighted = jnp.einsum("bptnd,p->bnd", face_key.astype(jnp.float32), mix.sum(1))
    return jnp.einsum("bqnd,bnd->bq", query.astype(jnp.float32), weighted) * query.shape[-1] ** -0.5


def gate_level(raw: Float[Array, "b q"]) -> Float[Array, "b q"]:
    """(2). A spread within float32 rounding of the values counts as none."""
    low, high = raw.min(-1, keepdims=True), raw.max(-1, keepdims=True)
    spread = high - low
    flat = spread <= 1e-6 * jnp.maximum(jnp.abs(low), jnp.abs(high))
    return jnp.where(flat, 1.0, (raw - low) / jnp.where(flat, 1.0, spread))


def close_below(level: Float[Array, "b q"], threshold: float) -> Float[Array, "b q"]:
    """(3); has no gradient where it closes."""
    return jnp.where(level < threshold, 0.0, level)


def apply_layout_strength(
    gate: Float[Array, "b q"], inside: Bool[Array, "#b s q"], strength: Float[Array, ""] | float
) -> Float[Array, "b q"]:
    """(5); applied once where boxes overlap."""
    return jnp.where(inside.any(1), gate + strength, gate / (strength + 1))


def visible_slots(inside: Bool[Array, "#b s q"]) -> Bool[Array, "#b s q"]:
    """(4): the slots whose boxes hold the query, or all slots where no box does."""
    return inside | ~inside.any(1, keepdims=True)


def face_attention(
    query: Float[Array, "b q n d"],
    face_key: Float[Array, "b p t n d"],
    face_value: Float[Array, "b p t n d"],
    mix: Float[Array, "p s"],
    inside: Bool[Array, "#b s q"] | None,
) -> Float[Array, "b q n d"]:
    """(6), before the gate.

    Every person's own softmax gives an output O_p and a mass Z_p = sum_t exp(S_pt). Slots compete by their mass
    Z_s = sum_p mix_ps Z_p over the visible slots, and within a slot the outputs are averaged with mix_ps:

        out = sum_s Z_s / (sum of visible Z) * sum_p mix_ps O_p

    Without mixing this is one softmax over all visible tokens, exactly.
    """
    b, q, n, d = query.shape
    p, t = face_key.shape[1:3]
    keys, values = _block_diagonal(face_key), _block_diagonal(face_value)
    logits = (query.reshape(b, q, n * d) * d**-0.5) @ jnp.swapaxes(keys, 1, 2)
    # Heads last: sums over tokens, people and slots then run over whole vectors (a CPU takes 3/4 of the time).
    logits = logits.astype(jnp.float32).reshape(b, q, t, p, n)
    top = jax.lax.stop_gradient(logits.max(2))  # cancels below, and so has no gradient
    weights = jnp.exp(logits - top[:, :, None])
    total = weights.sum(2)
    mass = top + jnp.log(total)  # log Z_p: b q p n
    slot_mass = jax.nn.logsumexp(mass[:, :, :, None], axis=2, b=mix[None, None, :, :, None])
    if inside is not None:
        visible = jnp.moveaxis(visible_slots(inside), 1, 2)[..., None]
        slot_mass = jnp.where(visible, slot_mass, -jnp.inf)
    share = jnp.einsum("bqsn,ps->bqpn", jax.nn.softmax(slot_mass, axis=2), mix)
    weights = (weights * (share / total)[:, :, None]).astype(values.dtype)
    return (weights.reshape(b, q, -1) @ values).reshape(query.shape)


def _block_diagonal(faces: Float[Array, "b p t n d"]) -> Float[Array, "b tpn nd"]:
    """All heads' keys or values as one matrix, zero between different heads.

    With it every head's product is one matrix product on the queries as they lie in memory. That is n times the
    arithmetic of something that costs nothing, and saves transposing the queries to heads and back. In a sampling loop
    the compiler makes it once, before the loop.
    """
    b, p, t, n, d = faces.shape
    spread = jnp.einsum("bptnd,mn->btpmnd", faces, jnp.eye(n, dtype=faces.dtype))
    return spread.reshape(b, t * p * n, n * d)
