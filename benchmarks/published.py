"""A stand-in for the published UNet, written for measuring alone: diffusers' UNet with attention done as published.

What makes it slow, and is kept: logits and weights of all heads as whole arrays with an explicit softmax, low-rank side
paths beside the four projections of every attention, keys and values of text and faces projected at every step, and a
gate that sums over the logits of all heads. `tests/test_benchmarks.py` holds it to recordings of the published code.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

TEXT_TOKENS, TOKENS = 77, 4
THRESHOLD = 0.3
Box = Sequence[float]
"""y0, x0, y1, x1 in fractions: the published order."""


class LowRank(nn.Module):
    """x A B, beside a projection."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two thin products."""
        return self.up(self.down(x))


class SelfProcessor(nn.Module):
    """Self-attention; diffusers calls it in the place of its own."""

    def __init__(self, width: int, context: int, rank: int) -> None:
        super().__init__()
        self.to_q_lora = LowRank(width, width, rank)
        self.to_k_lora = LowRank(context, width, rank)
        self.to_v_lora = LowRank(context, width, rank)
        self.to_out_lora = LowRank(width, width, rank)

    def forward(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: Any = None, **_: Any
    ) -> torch.Tensor:
        """Every query attends to the whole map."""
        query, key, value = self.project(attn, hidden_states, hidden_states)
        weights = attn.get_attention_scores(query, key, None)
        return self.out(attn, torch.bmm(weights, value))

    def project(self, attn: Any, x: torch.Tensor, context: torch.Tensor) -> list[torch.Tensor]:
        """Queries, keys and values with their side paths, heads first."""
        made = (
            attn.to_q(x) + self.to_q_lora(x),
            attn.to_k(context) + self.to_k_lora(context),
            attn.to_v(context) + self.to_v_lora(context),
        )
        return [attn.head_to_batch_dim(one) for one in made]

    def out(self, attn: Any, heads: torch.Tensor) -> torch.Tensor:
        """Heads back to channels, and the last projection."""
        x = attn.batch_to_head_dim(heads)
        return attn.to_out[0](x) + self.to_out_lora(x)


class CrossProcessor(SelfProcessor):
    """Text branch, and the gated face branch; the context is text states, then everybody's tokens."""

    def __init__(self, width: int, context: int, rank: int) -> None:
        super().__init__(width, context, rank)
        self.to_k_ip = nn.Linear(context, width, bias=False)
        self.to_v_ip = nn.Linear(context, width, bias=False)
        self.boxes: Sequence[Box] = ()
        self.strength = 0.0
        self.size = (0, 0)  # of the map; (0, 0): a square

    def forward(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: Any = None, **_: Any
    ) -> torch.Tensor:
        """The text alone where there are no boxes."""
        text, faces = (
            encoder_hidden_states[:, :TEXT_TOKENS],
            encoder_hidden_states[:, TEXT_TOKENS:],
        )
        query, key, value = self.project(attn, hidden_states, text)
        out = torch.bmm(attn.get_attention_scores(query, key, None), value)
        if faces.shape[1]:
            out = out + self._faces(attn, query, faces)
        return self.out(attn, out)

    def _faces(self, attn: Any, query: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        key = attn.head_to_batch_dim(self.to_k_ip(faces))
        value = attn.head_to_batch_dim(self.to_v_ip(faces))
        logits = torch.bmm(query, key.transpose(1, 2)) * attn.scale
        inside = self._inside(query.shape[1], query.device)
        gate = self._gate(logits, len(faces), inside.any(0))
        hidden = ~inside.repeat_interleave(TOKENS, 0).T  # queries x tokens
        hidden = hidden & inside.any(0)[:, None]
        weights = logits.masked_fill(hidden[None], -torch.inf).softmax(-1)
        gate = gate.repeat_interleave(attn.heads, 0)
        return gate[..., None].to(value.dtype) * torch.bmm(weights, value)

    def _gate(self, logits: torch.Tensor, rows: int, inside: torch.Tensor) -> torch.Tensor:
        total = logits.view(rows, -1, *logits.shape[1:]).sum((1, 3))
        low, high = total.amin(1, keepdim=True), total.amax(1, keepdim=True)
        gate = (total - low) / (high - low)
        gate = torch.where(gate < THRESHOLD, 0.0, gate)
        return torch.where(inside[None], gate + self.strength, gate / (self.strength + 1))

    def _inside(self, queries: int, device: Any) -> torch.Tensor:
        """Which cells each person's box covers: people x queries."""
        height, width = self.size if all(self.size) else (round(queries**0.5),) * 2
        inside = torch.zeros(len(self.boxes), height, width, dtype=torch.bool, device=device)
        for person, (y0, x0, y1, x1) in enumerate(self.boxes):
            rows, columns = (
                slice(int(a * n), int(b * n)) for a, b, n in ((y0, y1, height), (x0, x1, width))
            )
            inside[person, rows, columns] = True
        return inside.view(len(self.boxes), -1)


def with_published_attention(unet: Any, rank: int, boxes: Sequence[Box]) -> Any:
    """The UNet with every attention replaced; people are in these boxes, layout strength 2."""
    made: dict[str, SelfProcessor] = {}
    for name in unet.attn_processors:
        attention = unet.get_submodule(name.removesuffix(".processor"))
        width = attention.to_q.in_features
        kind = CrossProcessor if ".attn2." in name else SelfProcessor
        one = kind(width, attention.to_k.in_features, rank)
        if isinstance(one, CrossProcessor):
            one.boxes, one.strength = boxes, 2.0
        made[name] = one.to(unet.device, unet.dtype)
    unet.set_attn_processor(made)
    return unet
