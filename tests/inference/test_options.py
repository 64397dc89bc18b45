"""Options that trade exactness for time or memory, and what makes programs serve many shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.errors import InputError
from dynamicid_jax.inference import generator, networks, tiles
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.inference.request import Request

BOXES = [(0.0, 0.1, 0.3, 0.9), (0.3, 0.1, 0.6, 0.9), (0.6, 0.1, 0.8, 0.9), (0.8, 0.1, 1.0, 0.9)]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory) -> DynamicIDPipeline:
    folder = tmp_path_factory.mktemp("model") / "nano"
    return DynamicIDPipeline.from_pretrained(write_random_model(folder, "nano"))


@pytest.fixture(scope="module")
def crowd(pipe) -> list:
    faces = np.random.default_rng(0).normal(size=(4, *pipe.token_shape))
    return [pipe.person(face_tokens=one, box=box) for one, box in zip(faces, BOXES, strict=True)]


def draw(pipe, people=(), **options):
    return pipe("the sea", people, **{"steps": 4, "sampler": "ddim", "seed": 1, **options})


def test_guidance_acts_between_its_two_ends_alone(pipe, crowd) -> None:
    people = crowd[:1]
    whole = draw(pipe, people)
    assert (draw(pipe, people, guidance_interval=(0, 1)).latents == whole.latents).all()
    none = draw(pipe, people, guidance_interval=(0.5, 0.5))
    unguided = draw(pipe, people, guidance_scale=1)
    np.testing.assert_allclose(none.latents, unguided.latents, atol=1e-5)
    half = draw(pipe, people, guidance_interval=(0, 0.5))
    assert np.abs(half.latents - whole.latents).max() > 1e-3
    assert np.abs(half.latents - none.latents).max() > 1e-3
    # by hand: two guided steps, then the rest of the same table without guidance
    by_hand = stepwise(pipe, people, [(0, 2, 5.0), (2, 4, 1.0)])
    np.testing.assert_allclose(half.latents, by_hand, atol=1e-5)
    assert half.gate_maps.keys() == whole.gate_maps.keys()


def stepwise(pipe, people, parts) -> np.ndarray:
    """Sampling in parts, each with a guidance scale of its own."""
    make, state = pipe._generate, None
    for start, stop, scale in parts:
        request = Request.resolve(
            pipe.config, prompt="the sea", steps=4, sampler="ddim", seed=1, guidance_scale=scale
        )
        conditions = make._conditioner.one(request, tuple(people))
        sampler, steps = make._steps(request)
        args = (make._unet, sampler)
        if state is None:
            noise, keys = make._noise(request, None)
            state = networks.start_state(
                make._unet, make._unet_weights, conditions, steps, noise, keys
            )
        bounds = jnp.int32(start), jnp.int32(stop)
        state = networks.run_steps(
            *args, "epsilon", make._unet_weights, conditions, steps, state, *bounds
        )
    return np.asarray(state.latents)


def test_a_batch_takes_an_interval_too(pipe, crowd) -> None:
    call = {"prompt": "the sea", "steps": 4, "sampler": "ddim", "guidance_interval": (0.25, 0.75)}
    calls = [{**call, "people": [who], "seed": seed} for seed, who in enumerate(crowd[:2])]
    many = pipe.many(calls)
    alone = pipe(**calls[1])
    np.testing.assert_allclose(many[1].latents, alone.latents, atol=1e-4)
    with pytest.raises(InputError, match="guidance interval"):
        pipe.many([calls[0], {**calls[1], "guidance_interval": (0, 1)}])


@pytest.mark.parametrize("interval", [(0.5, 0.2), (0, 1.5), (1,), "half"])
def test_intervals_that_are_none_are_refused(pipe, interval) -> None:
    with pytest.raises(InputError, match="guidance_interval: expected two fractions"):
        Request.resolve(pipe.config, prompt="", guidance_interval=interval)


def test_three_people_run_the_program_of_four_and_the_spare_place_changes_nothing(
    pipe, crowd
) -> None:
    four = draw(pipe, crowd)
    before = networks.run_steps._cache_size()
    three = draw(pipe, crowd[:3])
    assert networks.run_steps._cache_size() == before
    assert np.abs(four.latents - three.latents).max() > 1e-3
    # a fourth person of weight 0 is nobody, whatever their face
    nobody = pipe.mix([(crowd[2], 1.0)], box=BOXES[2])
    np.testing.assert_allclose(draw(pipe, [*crowd[:2], nobody]).latents, three.latents, atol=1e-5)


def test_spare_places_weigh_nothing_in_attention_and_gate() -> None:
    from dynamicid_jax.models import gate

    keys = jax.random.split(jax.random.key(0), 3)
    query = jax.random.normal(keys[0], (2, 16, 2, 8))
    key, value = (jax.random.normal(one, (2, 4, 3, 2, 8)) for one in keys[1:])
    mix = jnp.eye(3)
    inside = jnp.arange(3)[None, :, None] == (jnp.arange(16) // 5)[None, None]
    spare = (jnp.pad(mix, ((0, 1), (0, 1))), jnp.pad(inside, ((0, 0), (0, 1), (0, 0))))
    ours = gate.face_attention(query, key, value, *spare)
    alone = gate.face_attention(query, key[:, :3], value[:, :3], mix, inside)
    np.testing.assert_allclose(ours, alone, atol=1e-6)
    np.testing.assert_allclose(
        gate.raw_gate(query, key, spare[0]), gate.raw_gate(query, key[:, :3], mix), atol=1e-5
    )


@pytest.mark.parametrize(("side", "tile"), [(8, 8), (5, 8), (9, 8), (40, 16), (129, 64)])
def test_tiles_cover_a_side_and_overlap(side: int, tile: int) -> None:
    begins = tiles.starts(side, tile)
    assert begins[0] == 0
    assert begins[-1] + min(tile, side) == side
    steps = np.diff(begins)
    assert (steps <= tile - tile // tiles.OVERLAP).all()
    assert (steps > 0).all()


def test_tiles_of_a_local_decoder_give_the_whole_picture() -> None:
    def local(cells):  # every cell becomes 2 x 2 pixels, by itself
        return jnp.repeat(jnp.repeat(jnp.sin(cells), 2, axis=0), 2, axis=1)

    latents = jax.random.normal(jax.random.key(0), (21, 13, 3))
    np.testing.assert_allclose(tiles.blended(local, latents, 8, 2), local(latents), atol=1e-6)


def test_tiled_decoding_is_close_and_small_pictures_are_not_tiled(pipe) -> None:
    latents = jax.random.normal(jax.random.key(0), (1, 32, 48, 4))

    def decoded(cells, **options) -> np.ndarray:
        request = Request.resolve(pipe.config, prompt="", **options)
        return np.asarray(pipe._generate._decode(cells, request)[0]).astype(float)

    whole, tiled = decoded(latents), decoded(latents, vae_tile=64)
    assert whole.shape == tiled.shape == (64, 96, 3)
    difference = np.abs(whole - tiled).mean()
    assert 0 < difference < 40  # a random decoder: norms of a tile, not of the picture
    corner = latents[:, :32, :32]
    assert (decoded(corner, vae_tile=64) == decoded(corner)).all()
    with pytest.raises(InputError, match="vae_tile: expected a whole number from"):
        Request.resolve(pipe.config, prompt="", vae_tile=4)


def test_warming_up_compiles_everything_that_a_call_needs(pipe, crowd, monkeypatch) -> None:
    monkeypatch.setattr(generator, "PREVIEW_CELLS", 3)  # smaller than these pictures
    seconds = pipe.warm_up(people=1, boxes=True, num_images=2, preview=True)
    assert seconds > 0
    programs = [networks.run_steps, networks.project, networks.decode, networks.make_steps]
    before = [program._cache_size() for program in programs]
    previews: list[Image.Image] = []
    draw(pipe, crowd[:1], num_images=2, seed=5, preview=previews.append)
    assert previews
    assert [program._cache_size() for program in programs] == before
