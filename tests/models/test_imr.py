from typing import Any

import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_weights import drawn, run, stored, variables

from dynamicid_jax.convert.rules_dynamicid import IMR_RULES
from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.models.configs import IMRConfig
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.types import Params

TOLERANCE = 2e-5
SMALL = IMRConfig(
    width=24,
    num_heads=3,
    head_width=8,
    context_width=10,
    keypoint_width=6,
    text_width=5,
    disentangle_depth=2,
)


def published_config(widths: dict[str, Any]) -> IMRConfig:
    return IMRConfig(
        width=widths["dim"],
        num_heads=widths["heads"],
        head_width=widths["dim_head"],
        tokens_per_person=widths["num_queries"],
        context_width=widths["embedding_dim"],
        keypoint_width=widths["embedding_dim"],
        text_width=widths["txt_dim"],
        disentangle_depth=widths["erase_layer_num"],
        entangle_depth=widths["drive_layer_num"],
    )


@pytest.fixture(params=golden.cases("e_"))
def recorded(request: pytest.FixtureRequest) -> tuple[IMR, Params, tuple, golden.Case]:
    case, meta = golden.load(request.param)
    network = IMR(published_config(meta["ctor"]))
    names = ("x", "src_landmark", "src_txt_embed", "tgt_landmark", "tgt_txt_embed")
    inputs = tuple(case["in"][name] for name in names)
    return network, variables(network, IMR_RULES, case["sd"], *inputs), inputs, case


def test_tokens_are_those_of_the_published_reconfigurator(recorded) -> None:
    network, weights, inputs, case = recorded
    golden.close(run(network, weights, *inputs), case["out"]["output"], TOLERANCE)


def test_motion_tokens_are_the_published_ones(recorded) -> None:
    network, weights, inputs, case = recorded
    _, *motions = inputs
    faces = (np.concatenate(motions[::2]), np.concatenate(motions[1::2]))  # source first
    motion = run(network, weights, *faces, method="motion")
    golden.close(motion, case["out"]["fused_latents"], TOLERANCE)


def test_first_cross_attention_is_the_published_one(recorded) -> None:
    """Pins which norm is the motion's and which the queries'; depth cannot average it away here."""
    network, weights, (tokens, keypoints, text, *_), case = recorded

    def first(bound: IMR, tokens, keypoints, text) -> jax.Array:
        queries = bound.proj_in(bound.norm_in(tokens))
        attention = bound.disentangle_layers[0].cross_attention
        return attention(queries, bound.motion(keypoints, text))

    out = run(network, weights, tokens, keypoints, text, method=first)
    golden.close(out, case["out"]["first_perceiver_out"], TOLERANCE)


def test_tiny_checkpoint_gives_the_published_edit() -> None:
    case, _ = golden.load("f_edit")
    network = IMR(published_config(golden.tiny["imr"]))
    keypoints, text = case["out"]["kpe_features"], case["out"]["pooled"]
    inputs = (case["in"]["src_token"], keypoints[:1], text[:1], keypoints[1:], text[1:])
    weights = variables(network, IMR_RULES, stored("IMR.bin"), *inputs)
    golden.close(run(network, weights, *inputs), case["out"]["edited_token"], TOLERANCE)


def small_inputs(targets: int) -> tuple[jax.Array, ...]:
    draw = np.random.default_rng(0)
    shapes = ((1, 4, 10), (1, 6), (1, 5), (targets, 6), (targets, 5))
    return tuple(jnp.asarray(draw.normal(size=shape), jnp.float32) for shape in shapes)


def test_all_targets_at_once_equal_one_after_another() -> None:
    network, inputs = IMR(SMALL), small_inputs(5)
    weights = drawn(network, *inputs)
    together = run(network, weights, *inputs)
    for row in range(5):
        target = (part[row : row + 1] for part in inputs[3:])
        alone = run(network, weights, *inputs[:3], *target)
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_null_keypoint_is_a_learned_feature_that_starts_at_zero() -> None:
    network, inputs = IMR(IMRConfig(**{**vars(SMALL), "null_keypoint": True})), small_inputs(1)
    weights = drawn(network, *inputs)
    null = run(network, weights, method="null_keypoint")
    np.testing.assert_array_equal(null, np.zeros(SMALL.keypoint_width))
    weights["params"]["null_keypoint"] = jnp.arange(6.0)
    np.testing.assert_array_equal(run(network, weights, method="null_keypoint"), np.arange(6.0))


def test_null_keypoint_of_a_published_model_is_an_error() -> None:
    network, inputs = IMR(SMALL), small_inputs(1)
    weights = drawn(network, *inputs)
    with pytest.raises(MissingPartError, match="null_keypoint"):
        run(network, weights, method="null_keypoint")


def test_bfloat16_stays_near_float32() -> None:
    network, inputs = IMR(SMALL), small_inputs(2)
    weights = drawn(network, *inputs)
    half = run(IMR(SMALL, jnp.bfloat16), weights, *inputs)
    assert half.dtype == jnp.bfloat16
    golden.close(half.astype(jnp.float32), run(network, weights, *inputs), 0.1)
