"""The sheet of sample pictures, on a model small enough to compile in seconds."""

import io
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from PIL import Image
from skimage import data

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.data.record import PictureRecord, pack_raster
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.random_model import (
    random_weights,
    tiny_config,
)
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import write_tokenizer
from dynamicid_jax.models.configs import ModelConfig, SamplingConfig, UNetConfig, VAEConfig
from dynamicid_jax.training import pictures, record_people
from dynamicid_jax.training.pictures import Sheet
from dynamicid_jax.training.tiles import Row
from dynamicid_jax.types import Params

STEPS = 2


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    unet = UNetConfig(
        block_channels=(16, 16),
        transformer_depth=(1, 0),
        num_heads=(2, 2),
        layers_per_block=1,
        context_width=64,
        norm_groups=4,
    )
    return replace(
        tiny_config(),
        unet=unet,
        vae=VAEConfig(block_channels=(8, 8, 8), layers_per_block=1, norm_groups=4),
        sampling=SamplingConfig(steps=STEPS, height=64, width=64),
    )


@pytest.fixture(scope="module")
def weights(config: ModelConfig) -> Params:
    """LoRA's second factor is not 0, as after some training: folding it must not touch these."""
    return jax.device_put(random_weights(config), jax.devices()[0])


@pytest.fixture(scope="module")
def tokenizer(config: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, config.text_encoder.max_length)
    return Tokenizer(folder, config.text_encoder.max_length)


def _record(number: int, caption: str = "") -> PictureRecord:
    generator = np.random.default_rng(number)
    picture = data.astronaut()[0:256, 96 - 8 * number : 352 - 8 * number]
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    raster = np.where(generator.random((96, 96)) > 0.99, 1.0, -1.0).astype(np.float32)
    embedding = generator.standard_normal(512).astype(np.float32)
    return PictureRecord(
        key=f"person{number}/0",
        person=f"person{number}",
        picture=file.getvalue(),
        width=256,
        height=256,
        caption=caption,
        face_prompt="in a happy expression, in front view",
        expression="happy",
        expression_source="text",
        yaw=0.0,
        pitch=0.0,
        roll=0.0,
        pose_source="network",
        face_box=np.array([0.3, 0.15, 0.75, 0.7], np.float32),
        raster=pack_raster(raster),
        embedding=embedding / np.linalg.norm(embedding),
    )


@pytest.fixture(scope="module")
def records() -> list[PictureRecord]:
    # longer than the tiny tokenizer reads: cut, and not worth a warning at every look
    return [_record(0, "an astronaut smiling before a flag " * 4), _record(1), _record(2)]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[list[Row]]:
    """The rows of every sheet drawn, before they become one picture."""
    seen: list[list[Row]] = []
    whole = pictures.sheet

    def watched(title: str, content: list[Row]) -> Image.Image:
        seen.append(content)
        return whole(title, content)

    monkeypatch.setattr(pictures, "sheet", watched)
    return seen


def _pixels(rows: list[Row]) -> list[np.ndarray]:
    return [np.asarray(tile.image) for row in rows for tile in row.tiles if tile.image is not None]


def test_looks_differ_by_the_weights_alone_and_compile_nothing_twice(
    config: ModelConfig,
    weights: Params,
    tokenizer: Tokenizer,
    records: list[PictureRecord],
    rows: list[list[Row]],
) -> None:
    sheet = Sheet(config, tokenizer, records[:2], stage="anchoring", steps=STEPS)
    before = jax.tree.map(np.asarray, weights)
    loops = networks.run_steps._cache_size()  # type: ignore[attr-defined]
    first = sheet.draw(weights, 1)
    assert first is not None
    assert networks.run_steps._cache_size() <= loops + 1  # type: ignore[attr-defined]
    programs = [networks.run_steps, networks.project, networks.decode, networks.encode_face]
    compiled = [program._cache_size() for program in programs]  # type: ignore[attr-defined]
    sheet.draw(weights, 2)
    louder = {**weights, "adapter": jax.tree.map(lambda x: 1.5 * x, weights["adapter"])}
    sheet.draw(louder, 3)
    assert [program._cache_size() for program in programs] == compiled  # type: ignore[attr-defined]
    jax.tree.map(np.testing.assert_array_equal, weights, before)
    same, again, other = map(_pixels, rows)
    assert all(map(np.array_equal, same, again))
    assert [np.array_equal(a, b) for a, b in zip(same, other, strict=True)] == [
        True, True, False, False, True, True, False, False,  # references and pictures stay
    ]  # fmt: skip


def test_the_sheet_shows_what_sampling_would_draw(
    config: ModelConfig,
    weights: Params,
    tokenizer: Tokenizer,
    records: list[PictureRecord],
    rows: list[list[Row]],
) -> None:
    sheet = Sheet(config, tokenizer, records[:2], stage="anchoring", seed=5, steps=STEPS)
    sheet.draw(weights)
    copied = {name: jax.tree.map(lambda leaf: leaf, tree) for name, tree in weights.items()}
    pipe = DynamicIDPipeline(config, copied, tokenizer, dtype="float32")
    record = records[1]
    seen = record_people.reference(config, record, record_people.decoded(record))
    tokens = record_people.face_tokens(config, weights, seen, record.embedding)
    person = pipe.person(face_tokens=np.asarray(tokens))
    prompt = "portrait, in a happy expression, in front view"
    made = pipe(prompt, [person], seed=6, layout_strength=0.0)
    assert np.array_equal(_pixels(rows[0])[6], np.asarray(made.images[0]))


def test_weights_over_several_devices_draw_the_same(
    config: ModelConfig,
    weights: Params,
    tokenizer: Tokenizer,
    records: list[PictureRecord],
    rows: list[list[Row]],
) -> None:
    mesh = jax.make_mesh((8,), ("fsdp",), axis_types=(AxisType.Auto,))

    def spread(leaf: Any) -> Any:
        cut = leaf.ndim > 0 and leaf.shape[0] % 8 == 0
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec("fsdp" if cut else None)))

    sheet = Sheet(config, tokenizer, records[:1], stage="anchoring", steps=STEPS)
    sheet.draw(weights)
    sheet.draw(
        {
            **weights,
            **jax.tree.map(spread, {"unet": weights["unet"], "adapter": weights["adapter"]}),
        }
    )
    assert all(map(np.array_equal, *map(_pixels, rows)))


def test_reconfiguration_gives_the_first_person_the_motions_of_the_others(
    config: ModelConfig,
    weights: Params,
    tokenizer: Tokenizer,
    records: list[PictureRecord],
    rows: list[list[Row]],
) -> None:
    Sheet(config, tokenizer, records, stage="reconfiguration", steps=STEPS).draw(weights)
    *people, aims, edited = rows[0]
    assert [len(row.tiles) for row in people] == [4, 4, 4]
    assert (len(aims.tiles), len(edited.tiles)) == (2, 2)
    one, two = (np.asarray(tile.image) for tile in edited.tiles)
    assert not np.array_equal(one, two)  # same words, same noise, another raster


def test_stages_without_faces_draw_prompts_and_reconstructions(
    config: ModelConfig,
    weights: Params,
    tokenizer: Tokenizer,
    records: list[PictureRecord],
    rows: list[list[Row]],
) -> None:
    base = {name: weights[name] for name in ("unet", "vae", "text_encoder")}
    # a run at 60 px is drawn at 64, which sampling takes
    Sheet(config, tokenizer, records[:1], stage="base", steps=STEPS, image_size=60).draw(base)
    Sheet(config, tokenizer, records[:1], stage="autoencoder").draw({"vae": weights["vae"]})
    assert [len(row.tiles) for row in rows[0]] == [2]
    assert _pixels(rows[0])[1].shape == (64, 64, 3)
    picture, again, distance = _pixels(rows[1])
    assert picture.shape == again.shape == (64, 64, 3)
    expected = np.clip(4 * np.abs(picture.astype(int) - again), 0, 255)
    assert np.array_equal(distance, expected)
    assert rows[1][0].tiles[1].caption.endswith(" dB")


@pytest.mark.parametrize("broken", ["unet", "face_projection", "vae"])
def test_weights_gone_bad_cost_a_picture_not_the_run(
    config: ModelConfig,
    weights: Params,
    tokenizer: Tokenizer,
    records: list[PictureRecord],
    rows: list[list[Row]],
    broken: str,
) -> None:
    stage = "autoencoder" if broken == "vae" else "reconfiguration"
    bad = {**weights, broken: jax.tree.map(lambda x: x * jnp.nan, weights[broken])}
    drawn = Sheet(config, tokenizer, records[:2], stage=stage, steps=STEPS).draw(bad)
    assert drawn is not None
    assert any(tile.image is None for row in rows[0] for tile in row.tiles)


def test_a_record_without_words_is_drawn_as_a_portrait() -> None:
    silent = replace(_record(0), face_prompt="", caption="")
    assert record_people.prompt_of(silent) == record_people.PORTRAIT
