import math

import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_weights import run, stored, variables

from dynamicid_jax.convert.rules_clip import TEXT_RULES
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.clip_layers import activate
from dynamicid_jax.models.configs import TextEncoderConfig
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.types import Params

TOLERANCE = 2e-5
END = 623
TINY = TextEncoderConfig(
    vocab_size=624, width=64, num_layers=2, num_heads=4, mlp_width=128, eot_token_id=END
)


@pytest.fixture(scope="module")
def weights() -> Params:
    state = stored("text_encoder/model.safetensors")
    return variables(TextEncoder(TINY), TEXT_RULES, state, jnp.zeros((1, 77), jnp.int32))


def encode(weights: Params, ids: np.ndarray) -> tuple[jax.Array, jax.Array]:
    return run(TextEncoder(TINY), weights, ids.astype(np.int32))


@pytest.mark.parametrize(
    ("name", "ids", "states", "pooled"),
    [
        ("f_encode", ("out", "input_ids"), "text_last_hidden", "text_pooled"),
        ("f_edit", ("in", "prompt_ids"), None, "pooled"),
    ],
)
def test_states_are_those_of_the_published_tower(weights, name, ids, states, pooled) -> None:
    case, _ = golden.load(name)
    ours, ours_pooled = encode(weights, case[ids[0]][ids[1]])
    golden.close(ours_pooled, case["out"][pooled], TOLERANCE)
    if states:
        golden.close(ours, case["out"][states], TOLERANCE)


def test_later_tokens_do_not_change_earlier_states(weights) -> None:
    ids = np.random.default_rng(0).integers(0, END, (1, 12))
    changed = ids.copy()
    changed[:, 7:] = (changed[:, 7:] + 1) % END
    before, after = encode(weights, ids)[0], encode(weights, changed)[0]
    np.testing.assert_allclose(after[:, :7], before[:, :7], atol=1e-5)
    assert np.abs(after[:, 7:] - before[:, 7:]).max() > 0.1


def test_pooled_state_is_the_one_at_the_first_end_of_text(weights) -> None:
    ids = np.array([[1, 2, END, 3, END], [1, END, END, END, END]])
    states, pooled = encode(weights, ids)
    np.testing.assert_array_equal(pooled[0], states[0, 2])
    np.testing.assert_array_equal(pooled[1], states[1, 1])


def test_too_many_tokens_are_an_error(weights) -> None:
    with pytest.raises(InputError, match="expected at most 77"):
        encode(weights, np.zeros((1, 78)))


def test_gelu_is_the_exact_one() -> None:
    """The tanh form differs by up to 5e-4, quick_gelu by 2e-2."""
    x = np.linspace(-4, 4, 41, dtype=np.float32)
    exact = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(activate(jnp.asarray(x), "gelu"), exact, atol=1e-6)


def test_bfloat16_stays_near_float32(weights) -> None:
    ids = np.array([[1, 2, 3, END]], np.int32)
    half, _ = run(TextEncoder(TINY, jnp.bfloat16), weights, ids)
    assert half.dtype == jnp.bfloat16
    golden.close(half.astype(jnp.float32), encode(weights, ids)[0], 0.1)
