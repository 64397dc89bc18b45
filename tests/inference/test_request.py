"""What a request is checked against: the model's own depth."""

from dataclasses import replace

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.random_model import mini_config, sd15_config
from dynamicid_jax.inference.request import Request, size_step
from dynamicid_jax.models.configs import SamplingConfig

UNSAID = dict.fromkeys(("height", "width", "steps", "sampler", "layout_steps"))
SAID = {"prompt": "two people", "negative_prompt": "", "guidance_scale": 5.0, "seed": 0}
SAID |= {"num_images": 1, "gate": True, "identity_scale": 1.0, "layout_strength": 2.0}


def test_sizes_follow_the_models_own_depth() -> None:
    assert size_step(sd15_config()) == 64
    assert size_step(mini_config()) == 16
    made = Request.resolve(mini_config(), **UNSAID, **SAID)
    assert (made.height, made.width) == (96, 96)
    with pytest.raises(InputError, match="100 px is not a multiple of 16; try 96 or 112"):
        Request.resolve(mini_config(), **UNSAID | {"width": 100}, **SAID)
    with pytest.raises(InputError, match="96 px is not a multiple of 64; try 64 or 128"):
        Request.resolve(sd15_config(), **UNSAID | {"width": 96}, **SAID)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_half_a_surrogate_pair_is_no_text(name: str) -> None:
    """A shell's broken bytes arrive so; the tokenizer and a PNG's text both stumble over it."""
    with pytest.raises(InputError, match=f"^{name}: not valid Unicode text"):
        Request.resolve(mini_config(), **SAID | {name: "a woman \ud83d"})


def test_a_number_beyond_every_float_is_refused() -> None:
    with pytest.raises(InputError, match="identity_scale: expected a number"):
        Request.resolve(mini_config(), **SAID | {"identity_scale": 10**400})


def test_guidance_is_the_models_own_unless_it_is_said() -> None:
    assert Request.resolve(sd15_config(), prompt="").guidance_scale == 5.0  # METHOD section 6
    own = replace(sd15_config(), sampling=SamplingConfig(guidance_scale=2.5))
    assert Request.resolve(own, prompt="").guidance_scale == 2.5
    assert Request.resolve(own, prompt="", guidance_scale=4).guidance_scale == 4.0
