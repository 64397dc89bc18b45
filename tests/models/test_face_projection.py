import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_weights import drawn, run, stored, variables

from dynamicid_jax.convert.rules import under
from dynamicid_jax.convert.rules_dynamicid import FACE_PROJECTION
from dynamicid_jax.models.configs import FaceProjectionConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.types import Params

TOLERANCE = 2e-5
RULES = under("", "face_projection", FACE_PROJECTION)
SMALL = FaceProjectionConfig(
    id_width=6, image_width=5, context_width=16, tokens_per_person=4, depth=2, head_width=8
)


@pytest.fixture(params=golden.cases("a_"))
def recorded(request: pytest.FixtureRequest) -> tuple[FaceProjection, Params, golden.Case]:
    case, meta = golden.load(request.param)
    widths = meta["ctor"]
    config = FaceProjectionConfig(
        id_width=widths["id_embeddings_dim"],
        image_width=widths["clip_embeddings_dim"],
        context_width=widths["cross_attention_dim"],
        tokens_per_person=widths["num_tokens"],
    )
    assert config.num_heads == meta["heads"]
    network = FaceProjection(config)
    inputs = (case["in"]["id_embeds"], case["in"]["clip_embeds"])
    return network, variables(network, RULES, case["sd"], *inputs), case


def test_tokens_are_those_of_the_published_projection(recorded) -> None:
    network, weights, case = recorded
    tokens = run(network, weights, case["in"]["id_embeds"], case["in"]["clip_embeds"])
    golden.close(tokens, case["out"]["noshort"], TOLERANCE)


def test_zero_embedding_gives_the_published_tokens(recorded) -> None:
    network, weights, case = recorded
    nobody = np.zeros_like(case["in"]["id_embeds"])
    tokens = run(network, weights, nobody, case["in"]["clip_embeds"])
    golden.close(tokens, case["out"]["zero_input"], TOLERANCE)


def test_id_tokens_are_the_published_resampler_input(recorded) -> None:
    network, weights, case = recorded
    tokens = run(network, weights, case["in"]["id_embeds"], method="id_tokens")
    golden.close(tokens, case["out"]["latents_in"], TOLERANCE)


@pytest.mark.parametrize(("output", "scale"), [("short_s1", 1.0), ("short_s07", 0.7)])
def test_published_shortcut_is_id_tokens_plus_scaled_tokens(recorded, output, scale) -> None:
    """The pipeline never takes this shortcut; it pins both halves at once."""
    network, weights, case = recorded
    inputs = (case["in"]["id_embeds"], case["in"]["clip_embeds"])
    plain = run(network, weights, inputs[0], method="id_tokens")
    golden.close(plain + scale * run(network, weights, *inputs), case["out"][output], TOLERANCE)


def test_tiny_checkpoint_gives_the_published_face_tokens() -> None:
    case, _ = golden.load("f_encode")
    network = FaceProjection(FaceProjectionConfig(image_width=48, context_width=64))
    embeddings = np.concatenate([case["in"][f"id_embed{k}"] for k in range(3)])
    features = np.concatenate([case["out"][f"clip_hidden_m2_{k}"] for k in range(3)])
    weights = variables(network, RULES, stored("SAA.bin", "proj_module."), embeddings, features)
    expected = np.concatenate([case["out"][f"face_tokens{k}"] for k in range(3)])
    golden.close(run(network, weights, embeddings, features), expected, TOLERANCE)


def small_inputs(batch: int) -> tuple[jax.Array, jax.Array]:
    draw = np.random.default_rng(0)
    embedding, features = draw.normal(size=(batch, 6)), draw.normal(size=(batch, 7, 5))
    return jnp.asarray(embedding, jnp.float32), jnp.asarray(features, jnp.float32)


def test_rows_do_not_see_each_other() -> None:
    network, inputs = FaceProjection(SMALL), small_inputs(3)
    weights = drawn(network, *inputs)
    together = run(network, weights, *inputs)
    for row in range(3):
        alone = run(network, weights, *(part[row : row + 1] for part in inputs))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_order_of_image_features_does_not_matter() -> None:
    network, (embedding, features) = FaceProjection(SMALL), small_inputs(2)
    weights = drawn(network, embedding, features)
    tokens = run(network, weights, embedding, features)
    shuffled = run(network, weights, embedding, features[:, ::-1])
    np.testing.assert_allclose(shuffled, tokens, atol=1e-5)
    assert np.abs(tokens - run(network, weights, embedding, features[:, :3])).max() > 1e-3


def test_bfloat16_stays_near_float32() -> None:
    inputs = small_inputs(2)
    network = FaceProjection(SMALL)
    weights = drawn(network, *inputs)
    half = run(FaceProjection(SMALL, jnp.bfloat16), weights, *inputs)
    assert half.dtype == jnp.bfloat16
    golden.close(half.astype(jnp.float32), run(network, weights, *inputs), 0.1)
