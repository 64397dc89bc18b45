"""The one vocabulary of arrays: axis letters used in signatures, einsums and sharding rules.

    b  batch (under classifier-free guidance: all unconditional rows, then all conditional rows)
    h  height of a picture or a map          w  width
    c  channels                              q  queries, q = h * w
    n  attention heads                       d  head width
    l  text tokens (77)                      x  context width (768)
    p  people (members: a mixed person counts once per member)
    s  slots (places for a person in the picture; equals p unless people are mixed)
    t  face tokens per person (4)            r  LoRA rank

Pictures are `b h w c`, RGB, [-1, 1]. NCHW and BGR exist only in convert/ and at the ONNX border.
Boxes are (x0, y0, x1, y1) as fractions of width and height, in [0, 1].
"""

from typing import Any

Params = dict[str, Any]
"""Nested dict of arrays, as Flax makes it."""

Box = tuple[float, float, float, float]

Number = int | float
