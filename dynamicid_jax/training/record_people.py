"""From a record to what the sampling path takes: its picture, face tokens and motion, without a face pack."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float, UInt8

from dynamicid_jax.data.record import PictureRecord, unpack_raster
from dynamicid_jax.data.transforms import reference_square
from dynamicid_jax.images import rgb_from_bytes
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.preprocess import clip_pixels
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.types import Params

PORTRAIT = "portrait, cinematic photo, film, professional, 4k, highly detailed"

Picture = UInt8[np.ndarray, "h w 3"]


def decoded(record: PictureRecord) -> Picture:
    """A record's picture."""
    return rgb_from_bytes(record.picture, f"record {record.key}")


def reference(
    config: ModelConfig, record: PictureRecord, picture: Picture
) -> UInt8[np.ndarray, "s s 3"]:
    """What the image encoder sees of a record's picture, in bytes."""
    assert config.image_encoder is not None
    size = config.image_encoder.image_size
    return reference_square(picture, record.face_box, config.reference_crop, size)


def prompt_of(record: PictureRecord) -> str:
    """The caption; without one, a portrait that says what the face does."""
    said = f"portrait, {record.face_prompt}" if record.face_prompt else PORTRAIT
    return record.caption or said


def face_tokens(
    config: ModelConfig, weights: Params, seen: Picture, embedding: Float[np.ndarray, "e"]
) -> Float[Array, "t x"]:
    """Tokens of one face from its reference and its id embedding."""
    assert config.image_encoder is not None
    assert config.face_projection is not None
    tokens = networks.encode_face(
        ImageEncoder(config.image_encoder),
        FaceProjection(config.face_projection),
        weights["image_encoder"],
        weights["face_projection"],
        np.asarray(embedding, np.float32)[None],
        clip_pixels(seen, config.image_encoder)[None],
    )
    return tokens[0]


def motions(
    config: ModelConfig, weights: Params, tokenizer: Tokenizer, records: Sequence[PictureRecord]
) -> tuple[Float[Array, "b k"], Float[Array, "b x"]]:
    """Keypoint features and pooled face prompts of several records."""
    assert config.keypoint_encoder is not None
    features = networks.encode_keypoints(
        KeypointEncoder(config.keypoint_encoder),
        weights["keypoint_encoder"],
        weights["keypoint_stats"],
        np.stack([unpack_raster(one.raster) for one in records])[..., None],
    )
    ids = tokenizer([one.face_prompt for one in records])
    text = networks.encode_text(TextEncoder(config.text_encoder), weights["text_encoder"], ids)
    return features, text[1]
