"""`dynamicid export --to onnx`: people encoded and edited by onnxruntime alone."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.tensors import open_file
from dynamicid_jax.faces.prompts import parse_face_words
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.text_encoder import TextEncoder

PROMPT = "in a happy expression, facing up, in half left view"


@pytest.fixture(scope="module")
def written(model: Path, tmp_path_factory: pytest.TempPathFactory, export) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "out"
    assert export(model, out, "--to", "onnx") == 0
    return out


def test_a_person_is_encoded_and_edited_as_in_jax(model: Path, written: Path) -> None:
    """The whole way from pixels, embedding and raster to edited tokens, two people at once."""

    def run(name: str, **inputs: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(str(written / f"{name}.onnx"))
        return session.run(None, inputs)[0]

    dice = np.random.default_rng(2)
    config, weights, tokenizer_folder, _ = load_any(model)
    pixels = dice.standard_normal((2, 3, 64, 64)).astype(np.float32)
    embedding = dice.standard_normal((2, config.face_projection.id_width)).astype(np.float32)
    raster = np.where(dice.uniform(size=(2, 1, 96, 96)) < 0.01, 1, -1).astype(np.float32)
    words = dict(open_file(written / "face_prompts.safetensors").read())
    assert len(words) == 127
    text = words[PROMPT][None]

    features = run("image_encoder", pixels=pixels)
    tokens = run("face_projection", embedding=embedding, features=features)
    feature = run("keypoint_encoder", raster=raster)
    motion = {"source_keypoints": feature[:1], "source_text": text}
    target = {"target_keypoints": feature, "target_text": np.repeat(text, 2, 0)}
    edited = run("imr", tokens=tokens[:1], **motion, **target)

    nhwc = (0, 2, 3, 1)
    nets = ImageEncoder(config.image_encoder), FaceProjection(config.face_projection)
    parts = weights["image_encoder"], weights["face_projection"]
    expected = networks.encode_face(*nets, *parts, embedding, pixels.transpose(nhwc))
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    states = weights["keypoint_encoder"], weights["keypoint_stats"]
    net = KeypointEncoder(config.keypoint_encoder)
    keypoints = networks.encode_keypoints(net, *states, raster.transpose(nhwc))
    np.testing.assert_allclose(feature, keypoints, atol=1e-5 * max(1, float(keypoints.max())))
    ids = Tokenizer(tokenizer_folder, 77)([parse_face_words("smiling, up, half left").prompt()])
    pooled = networks.encode_text(TextEncoder(config.text_encoder), weights["text_encoder"], ids)[1]
    np.testing.assert_allclose(text, pooled, atol=1e-5)
    pair = (keypoints[:1], pooled), (keypoints, np.repeat(pooled, 2, 0))
    ours = networks.reconfigure(IMR(config.imr), weights["imr"], expected[:1], *pair)
    np.testing.assert_allclose(edited, ours, atol=2e-5)
