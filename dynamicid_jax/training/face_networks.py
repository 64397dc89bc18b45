"""The face pack's networks and the judges as functions of the weights: what their losses call (see networks.py)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.models.face_configs import FaceNetsConfig
from dynamicid_jax.models.face_nets import face_net, seen_size
from dynamicid_jax.types import Params


@dataclass(frozen=True)
class FaceNetworks:
    """The networks, without weights.

    Attributes:
        config: their shapes.
        dtype: what they compute in.
    """

    config: FaceNetsConfig
    dtype: Any = jnp.float32

    def size(self, part: str) -> int:
        """Side of the picture that a part sees."""
        return seen_size(self.config, part)

    def run(self, weights: Params, part: str, pictures: Float[Array, "b s s 3"]) -> Any:
        """A part's output for pictures in [-1, 1]."""
        net = face_net(self.config, part, self.dtype)
        return net.apply({"params": weights[part]}, pictures.astype(self.dtype))
