"""Many requests in one compiled call: the same pictures as one by one."""

from dataclasses import replace

import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.inference.request import Request

BOXES = [[(0.1, 0.1, 0.4, 0.5), (0.6, 0.1, 0.9, 0.5)], [(0.0, 0.2, 0.5, 0.9), (0.5, 0.0, 1.0, 0.6)]]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory) -> DynamicIDPipeline:
    folder = tmp_path_factory.mktemp("model") / "nano"
    return DynamicIDPipeline.from_pretrained(write_random_model(folder, "nano"))


@pytest.fixture(scope="module")
def couples(pipe) -> list:
    one, two = np.random.default_rng(0).normal(size=(2, *pipe.token_shape))
    pairs = [(one, two), (two, one)]
    return [
        [pipe.person(face_tokens=face, box=box) for face, box in zip(pair, boxes, strict=True)]
        for pair, boxes in zip(pairs, BOXES, strict=True)
    ]


def request(pipe, prompt: str, **changes) -> Request:
    own = {"steps": 3, "sampler": "ddim", "guidance_scale": 3.0, "layout_steps": 1}
    return Request.resolve(pipe.config, prompt=prompt, **{**own, **changes})


def test_a_row_of_a_batch_is_the_picture_made_alone(pipe, couples) -> None:
    requests = [
        request(pipe, "two people by the sea", seed=3),
        request(pipe, "a garden", seed=9, identity_scale=0.5, guidance_scale=4.0, layout_steps=2),
    ]
    batch = pipe._generate.many(requests, couples, rows=3)
    assert len(batch) == 2
    for made, one, people in zip(batch, requests, couples, strict=True):
        alone = pipe._generate(one, people)
        np.testing.assert_allclose(made.latents, alone.latents, atol=1e-4)
        assert made.gate_maps.keys() == alone.gate_maps.keys()
        for name, gate in alone.gate_maps.items():
            np.testing.assert_allclose(made.gate_maps[name], gate, atol=1e-4)
        difference = np.asarray(made.images[0]).astype(int) - np.asarray(alone.images[0])
        assert np.abs(difference).max() <= 1


def test_pictures_without_people_come_in_batches_too(pipe) -> None:
    requests = [request(pipe, "the sea", seed=1), request(pipe, "a wall", seed=2)]
    batch = pipe._generate.many(requests, [(), ()])
    alone = pipe._generate(requests[1], ())
    np.testing.assert_allclose(batch[1].latents, alone.latents, atol=1e-4)
    assert batch[0].gate_maps == {}


def test_requests_that_do_not_fit_together_are_refused(pipe, couples) -> None:
    one = request(pipe, "a wall")
    with pytest.raises(InputError, match="got 2 kinds"):
        pipe._generate.many([one, one], [couples[0], ()])
    with pytest.raises(InputError, match="got 2 kinds"):
        pipe._generate.many([one, replace(one, steps=4)], couples)
    with pytest.raises(InputError, match="num_images 1"):
        pipe._generate.many([replace(one, num_images=2)], couples[:1])
    with pytest.raises(InputError, match="expected one of each"):
        pipe._generate.many([], [])


def test_the_pipeline_takes_calls_by_name(pipe, couples) -> None:
    calls = [
        {"prompt": "two people", "people": people, "steps": 3, "sampler": "ddim", "seed": seed}
        for seed, people in enumerate(couples)
    ]
    outputs = pipe.many(calls, rows=3)
    recipe = outputs[1].metadata["recipe"]
    assert (recipe["seed"], recipe["num_images"], len(recipe["people"])) == (1, 1, 2)
    alone = pipe(**calls[1])
    np.testing.assert_allclose(outputs[1].latents, alone.latents, atol=1e-4)
    assert recipe == alone.metadata["recipe"]
    with pytest.raises(InputError, match="expected a prompt and some of"):
        pipe.many([{"prompt": "a", "colour": "red"}])
