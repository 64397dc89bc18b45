"""Pictures as the CLIP vision tower was trained on them."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from dynamicid_jax.models.configs import ImageEncoderConfig


def clip_pixels(
    picture: UInt8[np.ndarray, "h w 3"], config: ImageEncoderConfig
) -> Float[np.ndarray, "s s 3"]:
    """Short side to `image_size` (bicubic), centre crop, [0, 1], minus mean, over deviation."""
    size = config.image_size
    h, w = picture.shape[:2]
    scaled = (
        (size, max(size, int(size * h / w))) if w <= h else (max(size, int(size * w / h)), size)
    )
    resized = np.asarray(Image.fromarray(picture).resize(scaled, Image.Resampling.BICUBIC))
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    crop = resized[top : top + size, left : left + size].astype(np.float32) / 255
    mean, std = (np.array([[values]], np.float32) for values in (config.mean, config.std))
    return (crop - mean) / std
