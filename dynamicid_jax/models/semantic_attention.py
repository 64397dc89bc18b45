"""Self- and cross-attention of the UNet with DynamicID's adapter (METHOD section 3).

A cross-attention is two functions: `project(text, faces)` makes keys and values once, since neither depends on the
timestep, and `attend(x, context)` uses them at every step:

    out = to_out( attention(Q, K_text, V_text) + scale * gate * attention(Q, K_face, V_face) )

The face branch uses the same, LoRA-adapted Q; K_face = f Wk and V_face = f Wv have no bias and no LoRA.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from dynamicid_jax.models import gate as gating
from dynamicid_jax.models.attention import attend_heads
from dynamicid_jax.models.configs import AdapterConfig
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.layers import as_rows
from dynamicid_jax.models.lora import AdapterDense, LoRADense

GATE_MAPS = (
    "gate_maps"  # the collection that receives every cross-attention's gate, before layout strength
)
GATE_LEVELS = "gate_levels"  # and the one that receives the same before its threshold


@struct.dataclass
class KeyValue:
    """Keys and values of one source; tokens are `l` for text, `p t` for faces."""

    key: Float[Array, "b *tokens n d"]
    value: Float[Array, "b *tokens n d"]


@struct.dataclass
class Context:
    """What one cross-attention attends to, projected once."""

    text: KeyValue
    faces: KeyValue | None = None


class Attention(nn.Module):
    """The four projections that both kinds of attention share."""

    width: int
    num_heads: int
    adapter: AdapterConfig | None = None
    dtype: Any = jnp.float32
    backend: str | None = None  # see attend_heads

    def setup(self) -> None:
        """Projections, each with LoRA where the adapter has it."""
        self.to_q = LoRADense(self.width, False, self.adapter, self.dtype)
        self.to_k = LoRADense(self.width, False, self.adapter, self.dtype)
        self.to_v = LoRADense(self.width, False, self.adapter, self.dtype)
        self.to_out = LoRADense(self.width, True, self.adapter, self.dtype)

    def split_heads(self, x: Float[Array, "*a c"]) -> Float[Array, "*a n d"]:
        """Channels to heads x head width."""
        return x.reshape(*x.shape[:-1], self.num_heads, self.width // self.num_heads)


class SelfAttention(Attention):
    """Ordinary self-attention with LoRA."""

    def __call__(self, x: Float[Array, "b q c"]) -> Float[Array, "b q c"]:
        """Every query attends to the whole map."""
        heads = [self.split_heads(project(x)) for project in (self.to_q, self.to_k, self.to_v)]
        return self.to_out(attend_heads(*heads, backend=self.backend).reshape(x.shape))


class CrossAttention(Attention):
    """Semantic-Activated Attention: the text branch plus the gated face branch."""

    def setup(self) -> None:
        """The shared projections, and the face branch's own where there is an adapter."""
        super().setup()
        if self.adapter is not None:
            self.face_k = AdapterDense(self.width, self.dtype)
            self.face_v = AdapterDense(self.width, self.dtype)

    def project(
        self, text: Float[Array, "b l x"], faces: Float[Array, "b p t x"] | None = None
    ) -> Context:
        """Keys and values of the text states and of every person's face tokens."""
        pair = KeyValue(self.split_heads(self.to_k(text)), self.split_heads(self.to_v(text)))
        if faces is None or self.adapter is None:
            return Context(pair)
        face_pair = self.split_heads(self.face_k(faces)), self.split_heads(self.face_v(faces))
        return Context(pair, KeyValue(*face_pair))

    def attend(
        self,
        x: Float[Array, "a q c"],
        context: Context,
        layout: FaceLayout | None,
        map_size: tuple[int, int],
    ) -> Float[Array, "b q c"]:
        """Text branch plus gated face branch for the queries of one `h, w = map_size` map.

        A context of more rows b than x has is attended to by x over and over: guidance's two rows of a picture differ
        in their contexts alone.
        """
        query = as_rows(self.split_heads(self.to_q(x)), context.text.key)
        out = attend_heads(query, context.text.key, context.text.value)
        if self.adapter is not None and context.faces is not None and layout is not None:
            size, threshold = "{}x{}".format(*map_size), self.adapter.gate_threshold
            out = out + self._face_branch(query, context.faces, layout, size, threshold)
        return self.to_out(out.reshape(-1, *x.shape[1:]))

    def _face_branch(
        self,
        query: Float[Array, "b q n d"],
        faces: KeyValue,
        layout: FaceLayout,
        size: str,
        threshold: float,
    ) -> Float[Array, "b q n d"]:
        """The gated attention over faces, on a map of `size` "HxW"."""
        # Without the gate there is no layout either, as published: all people compete everywhere.
        inside = layout.inside.get(size) if layout.gated else None
        out = gating.face_attention(query, faces.key, faces.value, layout.mix, inside)
        if not layout.gated:
            return (layout.identity_scale * out).astype(query.dtype)
        level = gating.gate_level(gating.raw_gate(query, faces.key, layout.mix))
        gate = gating.close_below(level, threshold)
        self._tell(GATE_LEVELS, level)
        self._tell(GATE_MAPS, gate)
        if inside is not None:
            gate = gating.apply_layout_strength(gate, inside, layout.strength)
        return (layout.identity_scale * gate[:, :, None, None] * out).astype(query.dtype)

    def _tell(self, collection: str, gate: Float[Array, "b q"]) -> None:
        """Costs nothing where nobody asks for the collection."""
        self.sow(collection, "gate", gate, reduce_fn=lambda _, new: new, init_fn=lambda: None)
