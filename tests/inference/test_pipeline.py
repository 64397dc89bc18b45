"""The pipeline: recorded samples, what a seed means, what is refused. On the tiny published checkpoint."""

import dataclasses

import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.errors import InputError, MissingPartError, SamplingError, WeightsError
from dynamicid_jax.inference import conditions, generator, networks
from dynamicid_jax.inference.layout import places
from dynamicid_jax.inference.tokenizer import PromptCutWarning

CASES = [name for name in golden.cases("f_sample") if not name.endswith("mix")]
BOXES = [(0.1, 0.1, 0.4, 0.5), (0.6, 0.1, 0.9, 0.5)]


@pytest.fixture(scope="module")
def pipe() -> DynamicIDPipeline:
    return DynamicIDPipeline.from_pretrained(golden.checkpoint)


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    """Face tokens of two recorded people."""
    case, _ = golden.load("f_sample_2id")
    return case["in"]["face_features"].reshape(2, 4, -1)


@pytest.fixture(scope="module")
def couple(pipe, tokens) -> list:
    return [pipe.person(face_tokens=one, box=box) for one, box in zip(tokens, BOXES, strict=True)]


def sample(pipe, people, **options):
    """Four steps at 128 px: one compiled program for all tests with two people."""
    given = {"height": 128, "width": 128, "steps": 4, "sampler": "ddim", **options}
    return pipe("a portrait of two people", people, **given)


@pytest.mark.parametrize("name", CASES)
def test_sampling_equals_the_published_code(pipe, name: str) -> None:
    case, meta = golden.load(name)
    faces = case["in"]["face_features"].reshape(meta["id_num"], 4, -1)
    boxes = [(x0, y0, x1, y1) for y0, x0, y1, x1 in meta["bbox"]] if meta["bbox"] else [None]
    out = pipe(
        meta["prompt"],
        [pipe.person(face_tokens=one, box=box) for one, box in zip(faces, boxes, strict=True)],
        negative_prompt=meta["negative_prompt"],
        height=meta["height"],
        width=meta["width"],
        steps=meta["steps"],
        guidance_scale=meta["guidance"] if meta["do_cfg"] else 1,
        gate=meta["activate_query"],
        layout_strength=meta["infer_scale"],
        layout_steps=meta["infer_end"],
        latents=case["in"]["latents"].transpose(0, 2, 3, 1),
    )
    recorded = case["out"]["final_latents"].transpose(0, 2, 3, 1)
    assert np.abs(out.latents - recorded).max() <= 3e-4
    picture = np.asarray(out.images[0]).astype(int)
    assert np.abs(picture - case["out"]["image_uint8"]).max() <= 1


def test_unconditional_tokens_equal_the_published_ones(pipe) -> None:
    case, _ = golden.load("f_encode")
    golden.close(pipe._people.unconditional()[None], case["out"]["uncond_tokens"], 2e-5)


def test_a_seed_gives_the_same_bytes_however_often_and_with_or_without_progress(
    pipe, couple
) -> None:
    told = []
    first = sample(pipe, couple, seed=7)
    again = sample(pipe, couple, seed=7, progress=lambda done, steps: told.append((done, steps)))
    assert first.images[0].tobytes() == again.images[0].tobytes()
    assert first.metadata["recipe"] == again.metadata["recipe"]
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    other = sample(pipe, couple, seed=8)
    assert np.abs(first.latents - other.latents).max() > 1


def test_gate_maps_cover_every_cross_attention_and_stay_in_range(pipe, couple) -> None:
    maps = sample(pipe, couple).gate_maps
    assert len(maps) == 16
    assert {one.shape for one in maps.values()} == {(1, n, n) for n in (2, 4, 8, 16)}
    assert all(one.min() >= 0 and one.max() <= 1 for one in maps.values())
    assert maps["down_blocks_0.attentions_0"].shape == (1, 16, 16)


def test_layout_steps_and_strength_reach_the_sampler(pipe, couple) -> None:
    off = sample(pipe, couple, layout_strength=0)
    assert (off.latents == sample(pipe, couple, layout_steps=0).latents).all()
    assert np.abs(off.latents - sample(pipe, couple, layout_steps=4).latents).max() > 1e-3
    # 24 % of 4 steps is one step: the default
    assert (sample(pipe, couple).latents == sample(pipe, couple, layout_steps=1).latents).all()


def test_pictures_do_not_depend_on_how_many_are_made(pipe, couple) -> None:
    two = sample(pipe, couple, num_images=2, seed=3)
    one = sample(pipe, couple, num_images=1, seed=3)
    assert two.latents.shape == (2, 16, 16, 4)
    np.testing.assert_allclose(two.latents[:1], one.latents, atol=1e-3)
    assert np.abs(two.latents[0] - two.latents[1]).max() > 1


def test_spare_rows_of_a_batch_change_no_picture(pipe, couple, monkeypatch) -> None:
    noise = np.random.default_rng(0).normal(size=(3, 16, 16, 4))
    calls = [{"num_images": 3, "seed": 3}, {"num_images": 3, "latents": noise}]
    exact = [sample(pipe, couple, **call) for call in calls]
    for module in (generator, conditions):  # as it is elsewhere than on a CPU
        monkeypatch.setattr(module, "batch_rows", places)
    for call, expected in zip(calls, exact, strict=True):
        out = sample(pipe, couple, **call)
        assert len(out.images) == 3
        np.testing.assert_allclose(out.latents, expected.latents, atol=1e-3)
        for name, gates in out.gate_maps.items():
            np.testing.assert_allclose(gates, expected.gate_maps[name], atol=1e-3)


def test_swapping_people_and_boxes_together_changes_nothing(pipe, couple) -> None:
    np.testing.assert_allclose(
        sample(pipe, couple).latents, sample(pipe, couple[::-1]).latents, atol=1e-3
    )


def test_mixes(pipe, tokens, couple) -> None:
    alice, bob = couple
    everything = {"box": (0.1, 0.1, 0.9, 0.9)}
    alone = pipe.mix([(alice, 1), (bob, 0)], **everything)
    assert len(alone.members) == 1
    half = pipe.mix([(alice, 0.5), (bob, 0.5)], **everything)
    assert [weight for _, weight in half.members] == [0.5, 0.5]
    nested = pipe.mix([(half, 2), (alice, 2)])
    assert [weight for _, weight in nested.members] == [0.25, 0.25, 0.5]
    with pytest.raises(InputError, match="positive sum"):
        pipe.mix([(alice, 0)])
    with pytest.raises(InputError, match="at least 0"):
        pipe.mix([(alice, -1), (bob, 2)])


def test_a_person_mixed_with_themselves_gives_the_same_picture(pipe, couple) -> None:
    alice = dataclasses.replace(couple[0], box=None)
    twin = pipe.mix([(alice, 0.3), (alice, 0.7)])
    np.testing.assert_allclose(
        sample(pipe, [twin]).latents, sample(pipe, [alice]).latents, atol=1e-3
    )


def test_without_people_faces_play_no_part(pipe) -> None:
    out = sample(pipe, [])
    assert out.gate_maps == {}
    assert out.images[0].size == (128, 128)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 100}, "height: 100 px is not a multiple of 64; try 64 or 128"),
        ({"width": 0}, "width: expected a whole number from 64"),
        ({"steps": 0}, "steps: expected a whole number from 1 to 1000"),
        ({"sampler": "magic"}, "sampler='magic': expected one of ddim"),
        ({"seed": -1}, "seed: expected a whole number from 0"),
        ({"num_images": 0}, "num_images: expected"),
        ({"guidance_scale": float("nan")}, "guidance_scale: expected a finite number"),
        ({"layout_strength": -1}, "layout_strength: expected a finite number of at least 0"),
        ({"latents": np.zeros((1, 4, 4, 4))}, "latents: expected shape"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(pipe, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        sample(pipe, [], **options)
    assert "\n" not in str(raised.value)


def test_bad_people_are_refused(pipe, couple, tokens) -> None:
    with pytest.raises(InputError, match=r"shape \(4, 64\)"):
        pipe.person(face_tokens=np.zeros((3, 64)))
    with pytest.raises(InputError, match="either photo"):
        pipe.person()
    with pytest.raises(InputError, match="need a photo"):
        pipe.person(face_tokens=tokens[0], face="happy")
    with pytest.raises(MissingPartError, match="face_pack"):
        pipe.person(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="person 2 has none"):
        sample(pipe, [couple[0], pipe.person(face_tokens=tokens[1])])


def test_a_long_prompt_is_cut_with_a_warning_that_says_what_was_lost(pipe) -> None:
    with pytest.warns(PromptCutWarning, match="reads 77; cut off: .*zebra"):
        pipe._generate._conditioner.tokenizer(["word " * 80 + "zebra"])


def test_latents_that_are_not_finite_stop_and_name_the_step(pipe, couple) -> None:
    broken = dataclasses.replace(couple[0], members=((jnp.full((4, 64), jnp.nan), 1.0),))
    with pytest.raises(SamplingError, match="after step 1 of 4"):
        sample(pipe, [broken, couple[1]])


def test_a_model_without_adapter_takes_no_people(couple, tokens, tmp_path) -> None:
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"):
        (tmp_path / part).symlink_to(golden.checkpoint / part)
    plain = DynamicIDPipeline.from_pretrained(tmp_path)
    with pytest.raises(MissingPartError, match="face projection"):
        plain.person(face_tokens=tokens[0])
    with pytest.raises(MissingPartError, match="no adapter"):
        sample(plain, couple)


def test_dtypes_and_paths_that_do_not_exist() -> None:
    with pytest.raises(InputError, match="dtype: expected one of float32, bfloat16, float16"):
        DynamicIDPipeline.from_pretrained(golden.checkpoint, dtype="int8")
    with pytest.raises((InputError, WeightsError), match="no such"):
        DynamicIDPipeline.from_pretrained("/nowhere/at/all")


@pytest.mark.slow
def test_bfloat16_stays_close_to_float32(pipe, couple, tokens) -> None:
    half = DynamicIDPipeline.from_pretrained(golden.checkpoint, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(half._generate._unet_weights)} == {
        jnp.dtype("bfloat16")
    }
    people = [half.person(face_tokens=one, box=box) for one, box in zip(tokens, BOXES, strict=True)]
    # one step: the random network amplifies rounding from step to step
    ours, exact = (sample(p, c, steps=1).latents for p, c in ((half, people), (pipe, couple)))
    assert np.abs(ours - exact).mean() < 0.05 * np.abs(exact).mean()


def test_another_number_of_steps_or_another_box_compiles_nothing(pipe, couple, tokens) -> None:
    sample(pipe, couple)
    before = networks.run_steps._cache_size()
    sample(pipe, couple, steps=5, guidance_scale=2, identity_scale=0.5, sampler="euler")
    moved = [pipe.person(face_tokens=one, box=(0.0, 0.0, 1.0, 1.0)) for one in tokens]
    sample(pipe, moved)
    assert networks.run_steps._cache_size() == before
