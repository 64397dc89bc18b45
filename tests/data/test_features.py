"""Precomputed features: the same arrays that training would compute, in files that survive interruptions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_bucket import fake_bucket
from fake_dataset import INFO, WIDTH, fake_record, fake_records

from dynamicid_jax.cli.main import main
from dynamicid_jax.config import DataConfig, LossConfig, SourceConfig
from dynamicid_jax.data.batch import BatchSpec
from dynamicid_jax.data.dataset import open_dataset, write_dataset
from dynamicid_jax.data.features import Frozen, check_models, encode, plan_job
from dynamicid_jax.data.loader import make_loader
from dynamicid_jax.data.precompute import precompute
from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.inference.random_model import random_weights, tiny_config
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import write_tokenizer
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.training.stage import Setting
from dynamicid_jax.training.stages import STAGES

FIELDS = (
    *("pixels", "text_ids", "reference", "id_embedding"),
    *("face_box", "raster", "face_text_ids", "person"),
)
SPEC = BatchSpec(FIELDS, image_size=64, landmark_set=5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "faces"
    splits = {"train": fake_records(3, 4), "validation": fake_records(1, 3, first=3)}
    write_dataset(out, splits, INFO)
    return open_dataset(out)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    projection = dataclasses.replace(tiny_config().face_projection, id_width=WIDTH)
    config = dataclasses.replace(tiny_config(), face_projection=projection)
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, config.text_encoder.max_length)
    tokenizer = Tokenizer(folder, config.text_encoder.max_length)
    return Frozen(config, random_weights(config), tokenizer)


@pytest.fixture(scope="module")
def features(dataset, frozen, tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "out"
    precompute(dataset, frozen, plan_job(dataset, frozen, 64), out, batch_size=5)
    return open_dataset(out)


def first_batch(path, frozen, spec=SPEC, **options):
    config = DataConfig((SourceConfig(str(path)),), workers=0)
    loader = make_loader(
        config,
        dataclasses.replace(spec, reference_size=frozen.config.image_encoder.image_size),
        batch_size=2 if spec.targets else 6,  # six pictures either way: one program
        seed=1,
        tokenizer=frozen.tokenizer,
        **options,
    )
    step = next(loader)
    loader.close()
    return step, loader


@pytest.mark.parametrize("targets", [0, 2], ids=["singles", "groups"])
def test_features_are_what_the_networks_make_of_the_same_pictures(
    dataset, features, frozen, targets
):
    spec = dataclasses.replace(SPEC, targets=targets)
    raw, pictures = first_batch(dataset.path, frozen, spec)
    made, loader = first_batch(features.path, frozen, spec)
    assert made.keys == raw.keys
    assert loader.is_features == {"pixels", "text_ids", "reference", "face_text_ids"}
    assert pictures.is_features == frozenset()
    for name in ("id_embedding", "face_box", "raster", "person"):
        np.testing.assert_array_equal(made.batch[name], raw.batch[name])
        assert made.batch[name].dtype == raw.batch[name].dtype
    pairs = {
        "moments": "pixels",
        "text_states": "text_ids",
        "image_features": "reference",
        "face_text": "face_text_ids",
    }
    for name, source in pairs.items():
        value = raw.batch[source]
        rows = value.reshape(-1, *value.shape[2:]) if targets else value
        wanted = np.asarray(
            jax.jit(encode, static_argnums=(0, 2))(frozen.config, frozen.weights, source, rows)
        )
        got = made.batch[name].reshape(wanted.shape)
        assert got.dtype == np.float16
        # float16 keeps 11 bits; another order of summation adds the rest
        np.testing.assert_allclose(got, wanted, rtol=1.5e-3, atol=1e-4)
    assert not set(pairs.values()) & set(made.batch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anchoring", "reconfiguration"])
def test_losses_are_the_same_on_features_and_on_pictures(dataset, features, frozen, name):
    stage = STAGES[name]
    networks = Networks(frozen.config)
    encoder = frozen.config.image_encoder
    blank = jnp.zeros((1, encoder.image_size, encoder.image_size, 3))
    ids = jnp.asarray(frozen.tokenizer.ids(["", "portrait"]))
    states, _ = networks.text(frozen.weights, ids)
    constants = {
        "null_features": networks.image_features(frozen.weights, blank),
        "empty_ids": ids[:1],
        "empty_text": states[:1],
        "ldc_text": states[1:],
    }
    setting = Setting(LossConfig(contrastive_weight=0.1, targets=2))

    @jax.jit
    def loss(weights, batch):
        return stage.loss(networks, weights, batch, constants, jax.random.key(0), setting)[0]

    spec = dataclasses.replace(SPEC, fields=stage.fields, targets=2 * stage.grouped)
    batches = [first_batch(one.path, frozen, spec)[0].batch for one in (dataset, features)]
    on_pictures, on_features = (float(loss(frozen.weights, batch)) for batch in batches)
    assert on_features != on_pictures
    assert abs(on_features - on_pictures) < 1e-3 * max(on_pictures, 1)


def test_every_split_is_there_with_its_persons(dataset, features):
    assert features.info.splits == dataset.info.splits
    assert features.persons("validation") == dataset.persons("validation")
    assert features.info.features.image_size == 64


def test_sizes_are_told_beforehand(dataset, frozen, tmp_path):
    job = plan_job(dataset, frozen, 64, [])
    precompute(dataset, frozen, job, tmp_path / "out")
    written = sum(file.stat().st_size for file in tmp_path.rglob("*.array_record"))
    assert 1 <= written / job.total() < 1.1 + 2 * 131072 / job.total()
    told = "\n".join(job.sizes())
    assert "pixels" in told
    assert "train: 12" in told


def test_an_interrupted_run_goes_on_after_the_last_whole_file(dataset, frozen, tmp_path):
    job = dataclasses.replace(plan_job(dataset, frozen, 64, ["moments"]), shard=4)
    precompute(dataset, frozen, job, tmp_path / "whole", batch_size=2)

    class Killed(BaseException):
        pass

    def stop(split, done, total):
        if (split, done) == ("train", 10):
            raise Killed

    with pytest.raises(Killed):
        precompute(dataset, frozen, job, tmp_path / "out", batch_size=2, tell=stop)
    assert not (tmp_path / "out").exists()
    told = []
    precompute(
        dataset, frozen, job, tmp_path / "out", batch_size=2, tell=lambda *what: told.append(what)
    )
    assert [done for split, done, _ in told if split == "train"] == [4, 8, 10, 12, 12]
    whole, resumed = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in sorted((tmp_path / name).rglob("*"))
            if file.is_file()
        }
        for name in ("whole", "out")
    )
    assert whole == resumed
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "whole"]


def test_what_an_interrupted_run_of_another_job_left_is_not_used(dataset, frozen, tmp_path):
    def stop(split, done, total):
        raise KeyboardInterrupt

    other = plan_job(dataset, frozen, 64, ["moments"], "bfloat16")
    with pytest.raises(KeyboardInterrupt):
        precompute(dataset, frozen, other, tmp_path / "out", batch_size=2, tell=stop)
    job = plan_job(dataset, frozen, 64, ["moments"])
    info = precompute(dataset, frozen, job, tmp_path / "out", batch_size=2)
    assert info.features.fields[0].dtype == "float16"
    assert open_dataset(tmp_path / "out").split("train").row(11)["moments"].dtype == np.float16


def test_raw_fields_stay_where_their_features_are_not_asked_for(dataset, frozen, tmp_path):
    job = plan_job(dataset, frozen, 64, ["moments"], "bfloat16")
    precompute(dataset, frozen, job, tmp_path / "out", batch_size=2)
    raw, _ = first_batch(dataset.path, frozen)
    made, loader = first_batch(tmp_path / "out", frozen)
    assert loader.is_features == {"pixels"}
    assert made.batch["moments"].dtype.name == "bfloat16"
    for name in set(FIELDS) - {"pixels"}:
        np.testing.assert_array_equal(made.batch[name], raw.batch[name])


def test_the_model_is_remembered(features, frozen):
    table = features.info.features
    check_models("x", table.models, frozen)
    names = {entry.split(":")[0] for entry in table.models}
    assert names == {"vae", "text_encoder", "image_encoder", "tokenizer"}
    for component in ("vae", "image_encoder"):
        other = frozen.weights | {
            component: jax.tree.map(lambda x: x + 1, frozen.weights[component])
        }
        changed = dataclasses.replace(frozen, weights=other)
        with pytest.raises(InputError, match=f"another {component} than"):
            check_models("x", table.models, changed)
    other = frozen.weights | {"unet": {}}  # what trains may differ
    check_models("x", table.models, dataclasses.replace(frozen, weights=other))


def test_a_stage_that_trains_a_network_does_not_take_its_features(features, frozen):
    spec = dataclasses.replace(SPEC, trains=("unet", "text_encoder"))
    with pytest.raises(InputError, match="text_states of a frozen text_encoder, which this stage"):
        first_batch(features.path, frozen, spec)


def test_features_do_not_fit_another_size_nor_mix_with_pictures(dataset, features, frozen):
    with pytest.raises(InputError, match="at 64 px, training asks for 32 px"):
        first_batch(features.path, frozen, dataclasses.replace(SPEC, image_size=32))
    sources = (SourceConfig(features.path), SourceConfig(dataset.path))
    with pytest.raises(InputError, match="precomputed alike"):
        make_loader(
            DataConfig(sources, workers=0), SPEC, batch_size=2, seed=0, tokenizer=frozen.tokenizer
        )


def test_a_damaged_picture_is_left_out_with_its_key(frozen, tmp_path, caplog):
    records = [*fake_records(30, 4), fake_record("bad", 0, picture=b"no picture")]
    write_dataset(tmp_path / "faces", {"train": records}, INFO)
    opened = open_dataset(tmp_path / "faces")
    job = plan_job(opened, frozen, 16, [])
    info = precompute(opened, frozen, job, tmp_path / "out")
    assert info.splits == {"train": 120}
    assert "bad/0" in caplog.text
    assert "bad/0" not in open_dataset(tmp_path / "out").index("train").keys


def test_a_value_too_large_for_float16_is_refused(dataset, frozen, tmp_path):
    vae = dict(frozen.weights["vae"])
    vae["quant_conv"] = jax.tree.map(lambda x: x * 1e8, vae["quant_conv"])
    large = dataclasses.replace(frozen, weights=frozen.weights | {"vae": vae})
    with pytest.raises(InputError, match="--dtype bfloat16"):
        precompute(
            dataset,
            large,
            plan_job(dataset, large, 32, ["moments"]),
            tmp_path / "out",
            batch_size=2,
        )


@pytest.mark.parametrize(
    ("size", "kinds", "message"),
    [(33, None, "multiple of 8"), (32, ["latents"], "known are moments, text, image, face_text")],
)
def test_bad_requests_are_refused(dataset, frozen, size, kinds, message):
    with pytest.raises(InputError, match=message):
        plan_job(dataset, frozen, size, kinds)


def test_a_model_without_image_encoder_cannot_give_its_features(dataset, frozen):
    config = dataclasses.replace(frozen.config, image_encoder=None)
    less = dataclasses.replace(frozen, config=config)
    with pytest.raises(MissingPartError, match="image encoder"):
        plan_job(dataset, less, 32, ["image"])
    assert "reference" in {field.name for field in plan_job(dataset, less, 32).table.fields}


def test_the_command(dataset, tmp_path, capsys):
    from dynamicid_jax.inference.random_model import write_random_model

    model = write_random_model(tmp_path / "model", "tiny")
    arguments = ["precompute", "--data", dataset.path, "--model", str(model)]
    arguments += ["--out", str(tmp_path / "out"), "--image_size", "32", "--features", "moments"]
    arguments += ["--batch_size", "2"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "in all" in told
    assert told.strip().endswith(str(tmp_path / "out"))
    assert main(arguments) == 2
    assert "already there" in capsys.readouterr().err
    arguments[2] = str(tmp_path / "out")
    arguments[6] = str(tmp_path / "again")
    assert main(arguments) == 2
    assert "holds features already" in capsys.readouterr().err


def test_features_go_to_another_path_scheme(dataset, frozen, monkeypatch):
    with fake_bucket(monkeypatch):
        out = "gs://bucket/features"
        precompute(dataset, frozen, plan_job(dataset, frozen, 64, []), out)
        made, _ = first_batch(out, frozen)
        raw, _ = first_batch(dataset.path, frozen)
        np.testing.assert_array_equal(made.batch["pixels"], raw.batch["pixels"])
