"""Every network of a model as a function of the weights: what the losses call.

Frozen networks come with weights in the compute dtype; what trains comes in float32 and is cast where it is used. All
shapes are those of `types.py`; weights are {component: nested parameters}.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num, UInt8

from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.semantic_attention import GATE_LEVELS, GATE_MAPS
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Params

Maps = Float[Array, "b h w z"]


class Gates(NamedTuple):
    """Every cross-attention's gate [b q], by its path.

    Attributes:
        maps: as they act.
        levels: before the threshold: where a map is 0 and has no gradient, its level still has one.
    """

    maps: Params
    levels: Params


@dataclass(frozen=True)
class Networks:
    """A model's networks, without weights.

    Attributes:
        config: their shapes.
        dtype: what they compute in.
        remat: what the UNet's backward pass keeps (models/unet_blocks.REMAT).
        gated: False trains without the gate (ablation).
    """

    config: ModelConfig
    dtype: Any = jnp.float32
    remat: str = "none"
    gated: bool = True

    @property
    def schedule(self) -> NoiseSchedule:
        """The base model's noise schedule."""
        return NoiseSchedule.from_config(self.config.schedule)

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Pixels per latent cell, and latent channels."""
        return self.config.vae.downscale, self.config.vae.latent_channels

    def pictures(self, pixels: UInt8[Array, "b H W 3"]) -> Float[Array, "b H W 3"]:
        """Bytes to [-1, 1]."""
        return pixels.astype(jnp.float32) / 127.5 - 1

    def encode(self, weights: Params, pictures: Float[Array, "b H W 3"]) -> tuple[Maps, Maps]:
        """Mean and log variance of the unscaled latents, float32."""
        net = VAE(self.config.vae, self.dtype)
        mean, logvar = _apply(net, weights, "vae", pictures.astype(self.dtype), method="encode")
        return mean.astype(jnp.float32), logvar.astype(jnp.float32)

    def decode(self, weights: Params, latents: Maps) -> Float[Array, "b H W 3"]:
        """Pictures of unscaled latents, float32."""
        net = VAE(self.config.vae, self.dtype)
        pictures = _apply(net, weights, "vae", latents.astype(self.dtype), method="decode")
        return pictures.astype(jnp.float32)

    def text(
        self, weights: Params, ids: Int[Array, "b l"]
    ) -> tuple[Float[Array, "b l x"], Float[Array, "b x"]]:
        """Prompt states and the pooled state."""
        return _apply(
            TextEncoder(self.config.text_encoder, self.dtype), weights, "text_encoder", ids
        )

    def image_features(
        self, weights: Params, reference: Float[Array, "b S S 3"]
    ) -> Float[Array, "b m c"]:
        """Penultimate states of the image encoder, for normalised pixels."""
        assert self.config.image_encoder is not None
        net = ImageEncoder(self.config.image_encoder, self.dtype)
        return _apply(net, weights, "image_encoder", reference.astype(self.dtype))[0]

    def image_embedding(
        self, weights: Params, pictures: Float[Array, "b S S 3"]
    ) -> Float[Array, "b p"]:
        """The image encoder's one vector per picture, for normalised pixels."""
        assert self.config.image_encoder is not None
        net = ImageEncoder(self.config.image_encoder, self.dtype)
        return _apply(net, weights, "image_encoder", pictures.astype(self.dtype))[1]

    def face_tokens(
        self, weights: Params, embedding: Float[Array, "b e"], features: Float[Array, "b m c"]
    ) -> Float[Array, "b t x"]:
        """Face tokens of id embeddings and image features."""
        assert self.config.face_projection is not None
        net = FaceProjection(self.config.face_projection, self.dtype)
        inputs = embedding.astype(self.dtype), features.astype(self.dtype)
        return _apply(net, weights, "face_projection", *inputs)

    def predict(
        self,
        weights: Params,
        noisy: Maps,
        timesteps: Num[Array, " b"],
        text: Float[Array, "b l x"],
        faces: Float[Array, "b p t x"] | None,
    ) -> tuple[Maps, Gates]:
        """The UNet's output for noisy latents, float32, and its gates (empty without faces).

        No boxes and no layout strength: every person may act wherever the gate lets them.
        """
        adapter = self.config.adapter if "adapter" in weights else None
        net = UNet(self.config.unet, adapter, self.dtype, self.remat)
        parts = {"params": weights["unet"]}
        if adapter is not None:
            parts["adapter"] = weights["adapter"]
        layout = None if faces is None else FaceLayout.free(faces.shape[1], gated=self.gated)
        states = text.astype(self.dtype)
        tokens = None if faces is None else faces.astype(self.dtype)
        inputs = (noisy, timesteps, states, tokens, layout)
        prediction, sown = net.apply(parts, *inputs, mutable=[GATE_MAPS, GATE_LEVELS])
        gates = Gates(dict(sown.get(GATE_MAPS, {})), dict(sown.get(GATE_LEVELS, {})))
        return prediction.astype(jnp.float32), gates

    def keypoints(
        self, weights: Params, raster: Float[Array, "b 96 96 1"]
    ) -> tuple[Float[Array, "b k"], Params]:
        """Keypoint features by the batch's own statistics, and the running statistics moved by them."""
        assert self.config.keypoint_encoder is not None
        net = KeypointEncoder(self.config.keypoint_encoder, self.dtype)
        parts = {"params": weights["keypoint_encoder"], "batch_stats": weights["keypoint_stats"]}
        features, changed = net.apply(parts, raster, True, mutable=["batch_stats"])
        return features, dict(changed["batch_stats"])

    def keypoints_running(
        self, weights: Params, raster: Float[Array, "b 96 96 1"]
    ) -> tuple[Float[Array, "b k"], Params]:
        """Keypoint features by the running statistics, as in sampling; they stay as they are."""
        assert self.config.keypoint_encoder is not None
        net = KeypointEncoder(self.config.keypoint_encoder, self.dtype)
        parts = {"params": weights["keypoint_encoder"], "batch_stats": weights["keypoint_stats"]}
        return net.apply(parts, raster), weights["keypoint_stats"]  # type: ignore[return-value]

    def imr(self, weights: Params, method: str, *inputs: Array) -> Any:
        """One of IMR's methods: "motion", "disentangle", "entangle" or "null_keypoint"."""
        assert self.config.imr is not None
        net = IMR(self.config.imr, self.dtype)
        return net.apply({"params": weights["imr"]}, *inputs, method=method)


def _apply(net: nn.Module, weights: Params, component: str, *inputs: Array, **options: Any) -> Any:
    return net.apply({"params": weights[component]}, *inputs, **options)
