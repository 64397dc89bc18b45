import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_weights import run, stored, variables

from dynamicid_jax.convert.rules_vae import VAE_RULES
from dynamicid_jax.models.configs import VAEConfig
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.types import Params

TOLERANCE = 2e-5
TINY = VAEConfig(block_channels=(8, 8, 16, 16), layers_per_block=1, norm_groups=4)


def nhwc(pictures: np.ndarray) -> np.ndarray:
    return pictures.transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def weights() -> Params:
    state = stored("vae/diffusion_pytorch_model.safetensors")
    return variables(VAE(TINY), VAE_RULES, state, jnp.zeros((1, 64, 64, 3)))


def test_moments_are_those_of_the_published_encoder(weights) -> None:
    case, _ = golden.load("f_vae")
    mean, logvar = run(VAE(TINY), weights, nhwc(case["in"]["image"]), method="encode")
    golden.close(mean, nhwc(case["out"]["mean"]), TOLERANCE)
    golden.close(logvar, nhwc(case["out"]["logvar"]), TOLERANCE)


def test_picture_is_that_of_the_published_decoder(weights) -> None:
    case, meta = golden.load("f_vae")
    latents = nhwc(case["in"]["latents"]) / np.float32(meta["scaling_factor"])
    picture = run(VAE(TINY), weights, latents, method="decode")
    golden.close(picture, nhwc(case["out"]["decoded"]), TOLERANCE)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "cells"), [((64, 32), (8, 4)), ((40, 72), (5, 9)), ((47, 39), (5, 4))]
)
def test_latents_have_an_eighth_of_the_size(weights, size, cells) -> None:
    mean, logvar = run(VAE(TINY), weights, noise(1, *size, 3), method="encode")
    assert mean.shape == logvar.shape == (1, *cells, 4)
    picture = run(VAE(TINY), weights, mean, method="decode")
    assert picture.shape == (1, 8 * cells[0], 8 * cells[1], 3)


def test_rows_do_not_see_each_other(weights) -> None:
    network, pictures = VAE(TINY), noise(3, 32, 32, 3)
    together = run(network, weights, pictures)
    for row in range(3):
        alone = run(network, weights, pictures[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-4)


def test_log_variance_stays_in_its_range(weights) -> None:
    """Pictures far outside [-1, 1] must not give deviations that overflow."""
    params = jax.tree.map(lambda x: x, weights["params"])
    params["quant_conv"] = {**params["quant_conv"], "bias": jnp.repeat(jnp.float32(1e4), 8)}
    _, logvar = run(VAE(TINY), {"params": params}, noise(1, 16, 16, 3), method="encode")
    np.testing.assert_array_equal(logvar, np.full((1, 2, 2, 4), 20.0))


def test_bfloat16_stays_near_float32(weights) -> None:
    pictures = noise(1, 32, 32, 3)
    half = run(VAE(TINY, jnp.bfloat16), weights, pictures)
    assert half.dtype == jnp.bfloat16
    golden.close(half.astype(jnp.float32), run(VAE(TINY), weights, pictures), 0.1)
