"""`dynamicid export --to published`: what came in comes out, byte for byte, and PyTorch's own loader reads it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.published_files import (
    dynamicid_states,
    write_dynamicid,
    write_image_encoder,
)
from dynamicid_jax.convert.tensors import open_file
from dynamicid_jax.export.published import departures
from dynamicid_jax.models.configs import AdapterConfig
from dynamicid_jax.models.lora import with_factor_one
from dynamicid_jax.trees import flatten

torch = pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads and writes .bin files")
FILES = ("SAA", "IMR", "key_point_encoder")


def plain(state: Any, prefix: str = "") -> dict[str, Any]:
    """Nested state dicts by joined names."""
    flat: dict[str, Any] = {}
    for name, value in state.items():
        inner = isinstance(value, dict)
        flat |= plain(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat


def test_a_published_checkpoint_comes_out_as_it_went_in(
    tiny_checkpoint: Path, tmp_path: Path, export
) -> None:
    """By way of our own folder, and with the base beside it."""
    assert main(["convert", str(tiny_checkpoint), "--out", str(tmp_path / "ours")]) == 0
    out = tmp_path / "out"
    assert export(tmp_path / "ours", out, "--to", "published") == 0
    for stem in FILES:
        before = torch.load(tiny_checkpoint / f"{stem}.bin", weights_only=True)
        after = torch.load(out / f"{stem}.bin", weights_only=True)
        assert before.keys() == after.keys()
        one, two = plain(before), plain(after)
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            assert tensor.dtype == two[name].dtype, name
            assert tensor.shape == two[name].shape, name
            assert tensor.numpy().tobytes() == two[name].numpy().tobytes(), name
        safe = dict(open_file(out / f"{stem}.safetensors").read())
        assert {name: safe[name].tobytes() for name in one} == {
            name: tensor.numpy().tobytes() for name, tensor in one.items()
        }
    for part in ("unet/diffusion_pytorch_model", "text_encoder/model", "image_encoder/model"):
        sides = [
            dict(open_file(root / f"{part}.safetensors").read()) for root in (tiny_checkpoint, out)
        ]
        assert sides[0].keys() - sides[1].keys() <= {"text_model.embeddings.position_ids"}
        for name, array in sides[1].items():
            np.testing.assert_array_equal(sides[0][name], array, err_msg=name)
    report = json.loads((out / "export.json").read_text())
    assert (
        report["files"]["SAA.bin"]["tensors"].keys()
        == plain(torch.load(out / "SAA.bin", weights_only=True)).keys()
    )
    assert {told["difference"] for told in report["files"].values()} == {0.0}
    assert report["notes"] == []  # nothing that the published code does otherwise


def test_our_own_settings_survive_and_departures_are_told(model: Path, tmp_path: Path) -> None:
    before = load_any(model, place=np.asarray)
    states = dynamicid_states(before.config, before.weights)
    write_image_encoder(tmp_path / "image_encoder", before.config, before.weights)
    write_dynamicid(tmp_path, before.config, states)
    assert "null_keypoint" not in torch.load(tmp_path / "IMR.bin", weights_only=True)
    after = load_any(model, adapter=tmp_path)
    assert before.config == after.config
    sides = [flatten(side.weights) for side in (before, after)]
    assert sides[0].keys() == sides[1].keys()
    assert all((leaf == np.asarray(sides[1][path])).all() for path, leaf in sides[0].items())
    told = "; ".join(departures(before.config))
    assert "id_channels: bgr; the published code has rgb" in told
    assert "null_keypoint: in IMR.safetensors only" in told
    assert "num_landmarks: 5; the published code has 106" in told


def test_lora_of_an_alpha_is_written_with_factor_one() -> None:
    config = AdapterConfig(lora_rank=4, lora_alpha=8.0, lora_scale=0.5)
    up = np.ones((4, 2), np.float32)
    scaled, plain_config = with_factor_one({"a": {"lora_down": up.T, "lora_up": up}}, config)
    assert (scaled["a"]["lora_up"] == 1.0).all()  # 8 / 4 * 0.5
    config = AdapterConfig(lora_rank=4, lora_alpha=8.0)
    scaled, plain_config = with_factor_one({"a": {"lora_down": up.T, "lora_up": up}}, config)
    assert (scaled["a"]["lora_up"] == 2.0).all()
    assert (scaled["a"]["lora_down"] == 1.0).all()
    assert plain_config == AdapterConfig(lora_rank=4)


def test_a_model_without_adapter_is_refused(
    diffusers_folder: Path, tmp_path: Path, export, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(diffusers_folder, tmp_path / "out", "--to", "published") == 2
    assert "has no adapter" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))  # no half-written folder stays behind


@pytest.mark.slow  # a training step of the tiny checkpoint takes a minute to compile
def test_a_published_checkpoint_trains_further_and_comes_out_again(
    tiny_checkpoint: Path, tmp_path: Path, export
) -> None:
    from dataclasses import replace

    from fake_dataset import fake_records

    from dynamicid_jax.config import (
        CheckpointConfig,
        DataConfig,
        LogConfig,
        OptimizerConfig,
        SourceConfig,
        TrainConfig,
    )
    from dynamicid_jax.data.dataset import write_dataset
    from dynamicid_jax.data.record import DatasetInfo
    from dynamicid_jax.training.loop import train

    embedding = np.full(512, 512**-0.5, np.float32)
    records = [replace(one, embedding=embedding) for one in fake_records(8, 2, 0)]
    # A published checkpoint wants data prepared as it reads photographs.
    info = DatasetInfo(landmark_set=106, id_channels="rgb", reference_crop="none")
    write_dataset(tmp_path / "data", {"train": records}, info)
    recipe = TrainConfig(
        base=str(tiny_checkpoint),
        batch_size=8,
        steps=2,
        dtype="float32",
        data=DataConfig((SourceConfig(str(tmp_path / "data")),), image_size=64, workers=0),
        optimizer=OptimizerConfig(warmup=0),
        checkpoint=CheckpointConfig(every=2, keep=1),
        log=LogConfig(every=1, pictures_every=0, heldout_every=0, tensorboard=False),
    )
    assert train(recipe, tmp_path / "run")["updates"]["done"] == 2
    out = tmp_path / "out"
    assert export(tmp_path / "run" / "model", out, "--to", "published") == 0
    before = plain(torch.load(tiny_checkpoint / "SAA.bin", weights_only=True))
    after = plain(torch.load(out / "SAA.bin", weights_only=True))
    assert {name: tensor.shape for name, tensor in before.items()} == {
        name: tensor.shape for name, tensor in after.items()
    }
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) > len(before) / 2  # it learned
    for stem in ("IMR", "key_point_encoder"):  # frozen in this stage
        sides = [
            torch.load(root / f"{stem}.bin", weights_only=True) for root in (tiny_checkpoint, out)
        ]
        assert all(torch.equal(tensor, sides[1][name]) for name, tensor in sides[0].items())
    assert load_any(out).config.id_channels == "rgb"
