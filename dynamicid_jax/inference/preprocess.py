"""Pictures as the CLIP vision tower was trained on them."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from dynamicid_jax.models.configs import ImageEncoderConfig


def clip_pixels(
    picture: UInt8[np.ndarray, "h w 3"], config: ImageEncoderConfig
) -> Float[np.ndarray, "s s 3"]:
    """Short side to `image_size` (bicubic), centre crop, [0, 1], minus mean, over deviation."""
    from dynamicid_jax.models.image_encoder import normalise

    return normalise(clip_square(picture, config.image_size), config)


def clip_square(picture: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Short side to `size` (bicubic), centre crop: all that happens before numbers leave bytes."""
    h, w = picture.shape[:2]
    scaled = (
        (size, max(size, int(size * h / w))) if w <= h else (max(size, int(size * w / h)), size)
    )
    resized = np.asarray(Image.fromarray(picture).resize(scaled, Image.Resampling.BICUBIC))
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size]
