"""Low-rank adaptation: what the side path adds, and that folding keeps the numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.models.configs import AdapterConfig
from dynamicid_jax.models.lora import fold, lora_factor
from dynamicid_jax.models.semantic_attention import SelfAttention


@pytest.mark.parametrize(("alpha", "factor"), [(None, 0.6), (2.0, 0.3)])
def test_the_factor_is_the_scale_times_alpha_over_rank(alpha, factor) -> None:
    config = AdapterConfig(lora_rank=4, lora_alpha=alpha, lora_scale=0.6)
    assert lora_factor(config) == pytest.approx(factor)


@pytest.mark.parametrize("alpha", [None, 2.0])
def test_folded_weights_give_the_same_numbers(alpha) -> None:
    config = AdapterConfig(lora_rank=4, lora_alpha=alpha, lora_scale=0.7)
    x = jax.random.normal(jax.random.key(0), (2, 9, 16))
    net = SelfAttention(16, 4, config)
    variables = net.init(jax.random.key(1), x)
    fresh = net.apply(variables, x)
    plain = SelfAttention(16, 4).apply({"params": variables["params"]}, x)
    np.testing.assert_allclose(fresh, plain, atol=1e-6)  # up starts at 0: nothing is added

    adapter = jax.tree.map(lambda leaf: leaf + 0.1, variables["adapter"])
    adapted = net.apply({"params": variables["params"], "adapter": adapter}, x)
    assert jnp.abs(adapted - fresh).max() > 1e-2
    base, rest, folded = fold(variables["params"], adapter, config)
    assert rest == {}
    again = SelfAttention(16, 4, folded).apply({"params": base}, x)
    np.testing.assert_allclose(again, adapted, atol=1e-5)


def test_down_starts_with_deviation_one_over_rank() -> None:
    net = SelfAttention(256, 4, AdapterConfig(lora_rank=32))
    variables = net.init(jax.random.key(1), jnp.zeros((1, 2, 256)))
    down = variables["adapter"]["to_q"]["lora_down"]
    assert float(down.std()) == pytest.approx(1 / 32, rel=0.05)
