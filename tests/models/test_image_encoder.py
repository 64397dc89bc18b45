import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_weights import run, stored, variables

from dynamicid_jax.convert.rules import under
from dynamicid_jax.convert.rules_clip import IMAGE_RULES
from dynamicid_jax.convert.rules_dynamicid import FACE_PROJECTION
from dynamicid_jax.inference.preprocess import clip_pixels
from dynamicid_jax.models.configs import FaceProjectionConfig, ImageEncoderConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.types import Params

TOLERANCE = 2e-5
TINY = ImageEncoderConfig(
    width=48, num_layers=3, num_heads=4, mlp_width=96, patch_size=32, projection_width=32
)


@pytest.fixture(scope="module")
def weights() -> Params:
    state = stored("image_encoder/model.safetensors")
    return variables(ImageEncoder(TINY), IMAGE_RULES, state, jnp.zeros((1, 224, 224, 3)))


@pytest.fixture(scope="module")
def recorded(weights) -> tuple[golden.Case, tuple[jax.Array, jax.Array]]:
    """Our own pixels: the recorded ones are rounded to float16, which alone costs 2e-4."""
    case, _ = golden.load("f_encode")
    pixels = np.stack([clip_pixels(case["in"][f"image{k}"], TINY) for k in range(3)])
    return case, run(ImageEncoder(TINY), weights, pixels)


def test_features_are_the_published_penultimate_states(recorded) -> None:
    case, (features, _) = recorded
    expected = np.concatenate([case["out"][f"clip_hidden_m2_{k}"] for k in range(3)])
    golden.close(features, expected, TOLERANCE)


def test_embedding_projects_the_published_last_states(weights, recorded) -> None:
    """By numpy, in float64, from the recorded states of the last layer."""
    case, (_, embedding) = recorded
    states = np.concatenate([case["out"][f"clip_last_hidden_{k}"][:, 0] for k in range(3)])
    states = states.astype(np.float64)
    centred = states - states.mean(-1, keepdims=True)
    params = weights["params"]
    scale, bias = params["post_norm"]["scale"], params["post_norm"]["bias"]
    deviation = np.sqrt(centred.var(-1, keepdims=True) + 1e-5)
    normalised = centred / deviation * scale[None] + bias[None]
    golden.close(embedding, normalised @ params["projection"]["kernel"], TOLERANCE)


def test_features_do_not_need_the_last_layer(weights, recorded) -> None:
    case, (features, embedding) = recorded
    params = dict(weights["params"])
    params["layers_2"] = jax.tree.map(jnp.zeros_like, params["layers_2"])
    pixels = np.stack([clip_pixels(case["in"][f"image{k}"], TINY) for k in range(3)])
    without, changed = run(ImageEncoder(TINY), {"params": params}, pixels)
    np.testing.assert_array_equal(without, features)
    assert np.abs(changed - embedding).max() > 1e-3


def test_zero_pixels_give_the_published_unconditional_tokens(weights) -> None:
    """Both towers of the face at once: zero pixels after normalisation, and a zero embedding."""
    case, _ = golden.load("f_encode")
    features, _ = run(ImageEncoder(TINY), weights, np.zeros((1, 224, 224, 3), np.float32))
    projection = FaceProjection(FaceProjectionConfig(image_width=48, context_width=64))
    nobody = jnp.zeros((1, 512))
    rules = under("", "face_projection", FACE_PROJECTION)
    published = variables(projection, rules, stored("SAA.bin", "proj_module."), nobody, features)
    tokens = run(projection, published, nobody, features)
    golden.close(tokens, case["out"]["uncond_tokens"], TOLERANCE)


def test_rows_do_not_see_each_other(weights, recorded) -> None:
    case, (features, embedding) = recorded
    alone = run(ImageEncoder(TINY), weights, clip_pixels(case["in"]["image1"], TINY)[None])
    np.testing.assert_allclose(alone[0][0], features[1], atol=1e-5)
    np.testing.assert_allclose(alone[1][0], embedding[1], atol=1e-5)


def test_bfloat16_stays_near_float32(weights, recorded) -> None:
    case, (features, _) = recorded
    pixels = clip_pixels(case["in"]["image0"], TINY)[None]
    half, _ = run(ImageEncoder(TINY, jnp.bfloat16), weights, pixels)
    assert half.dtype == jnp.bfloat16
    golden.close(half.astype(jnp.float32), features[:1], 0.1)
