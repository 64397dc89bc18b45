"""Stable Diffusion's safety checker: pictures that come too close to concepts it was given (Rando et al. 2022).

e        = CLIP embedding of a picture
s_k      = cos(e, special_k) - threshold_k         a = 0.01 if any s_k > 0, else 0       (1)
c_k      = cos(e, concept_k) - threshold_k + a     flagged if any c_k > 0                (2)

Both are rounded to three decimals before they are compared, as published. A flagged picture is blackened.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from PIL import Image

from dynamicid_jax.convert.safety_checker import TOWER, read_safety_checker
from dynamicid_jax.inference.preprocess import clip_pixels
from dynamicid_jax.models.configs import ImageEncoderConfig
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.types import Params

STRICTER = 0.01
SafetyCheck = Callable[[UInt8[np.ndarray, "n h w 3"]], Sequence[bool] | Bool[np.ndarray, "n"]]
"""Pictures to whether each is flagged: a `SafetyChecker`, or a user's own function."""


class FlaggedWarning(UserWarning):
    """A safety checker blackened a picture."""


def blacken(
    images: Sequence[Image.Image], check: SafetyCheck
) -> tuple[list[Image.Image], list[bool]]:
    """The pictures, black where they are flagged, and which are; a warning says how many."""
    flagged = [bool(one) for one in check(np.stack([np.asarray(image) for image in images]))]
    if any(flagged):
        warnings.warn(
            f"the model's safety checker flagged {sum(flagged)} of {len(images)} pictures, which are black now; "
            "try another seed or prompt",
            FlaggedWarning,
            stacklevel=4,
        )
    pairs = zip(images, flagged, strict=True)
    return [Image.new("RGB", image.size) if bad else image for image, bad in pairs], flagged


@dataclass(frozen=True, eq=False)
class SafetyChecker:
    """A loaded checker.

    Attributes:
        config: of its CLIP tower.
        weights: as `convert.safety_checker.read_safety_checker` reads them.
    """

    config: ImageEncoderConfig
    weights: Params = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> "SafetyChecker":
        """Reads a safety_checker/ folder.

        Raises:
            WeightsError: damaged, or of another kind.
            MissingPartError: a PyTorch file, and PyTorch is not installed.
        """
        config, weights = read_safety_checker(folder)
        return cls(config, jax.tree.map(jnp.asarray, weights))

    def __call__(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Bool[np.ndarray, "n"]:
        """Which pictures are flagged."""
        pixels = np.stack([clip_pixels(picture, self.config) for picture in pictures])
        cosines = _cosines(ImageEncoder(self.config), self.weights, jnp.asarray(pixels))
        concepts, special = (np.asarray(one, np.float64) for one in cosines)
        thresholds = [
            np.asarray(self.weights[f"{name}_weights"], np.float64)[None]
            for name in ("concept_embeds", "special_care_embeds")
        ]
        careful = (np.round(special - thresholds[1], 3) > 0).any(axis=1, keepdims=True)
        scores = np.round(concepts - thresholds[0] + STRICTER * careful, 3)
        return np.asarray((scores > 0).any(axis=1))


@partial(jax.jit, static_argnames="tower")
def _cosines(
    tower: ImageEncoder, weights: Params, pixels: Float[Array, "n s s 3"]
) -> tuple[Float[Array, "n k"], Float[Array, "n m"]]:
    """Cosines to the concepts and to the special ones."""
    _, embedding = tower.apply({"params": weights[TOWER]}, pixels)

    def unit(x: Any) -> Float[Array, "n e"]:
        return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    e = unit(embedding)
    concepts, special = (unit(weights[name]) for name in ("concept_embeds", "special_care_embeds"))
    return e @ concepts.T, e @ special.T
