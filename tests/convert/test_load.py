"""The one door: which kind of model it is, what is found beside it, what may be given instead."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dynamicid_jax import packaged
from dynamicid_jax.cli import convert
from dynamicid_jax.cli.main import main
from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.tensors import open_any
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    IMRConfig,
    KeypointEncoderConfig,
)
from dynamicid_jax.trees import flatten

DYNAMICID = {
    "adapter",
    "face_projection",
    "image_encoder",
    "keypoint_encoder",
    "keypoint_stats",
    "imr",
}
BASE = {"unet", "vae", "text_encoder"}


def assert_same(ours: Any, theirs: Any) -> None:
    ours, theirs = flatten(ours), flatten(theirs)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[path], array) for path, array in theirs.items())


def test_published_layout(published: Path) -> None:
    loaded = load_any(published)
    assert set(loaded.weights) == BASE | DYNAMICID
    config = loaded.config
    assert config.adapter == AdapterConfig(lora_rank=4)
    assert config.face_projection == FaceProjectionConfig(image_width=48, context_width=64)
    assert config.keypoint_encoder == KeypointEncoderConfig(width=64)
    assert config.imr == IMRConfig(64, 4, 16, 4, 64, 64, 64, 1, 1)
    # conventions of the published checkpoints (METHOD section 2), and the size it was trained at
    assert (config.id_channels, config.reference_crop) == ("rgb", "none")
    assert (config.sampling.width, config.text_encoder.eot_token_id) == (128, 623)
    assert loaded.tokenizer_dir == published / "tokenizer"
    assert loaded.face_pack_dir is None


def test_base_alone_is_a_plain_model(base: Path, tiny_checkpoint: Path) -> None:
    shutil.copytree(tiny_checkpoint / "image_encoder", base / "image_encoder")
    (base / "IMR.bin").write_bytes(b"nothing reads it without an adapter")
    loaded = load_any(base)
    assert set(loaded.weights) == BASE
    config = loaded.config
    assert (config.adapter, config.image_encoder, config.imr) == (None, None, None)


def test_base_folder_beside_the_files(published: Path) -> None:
    whole = load_any(published)
    inner = published / "stable-diffusion-v1-5"
    inner.mkdir()
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"):
        (published / name).rename(inner / name)
    (published / "face_pack").mkdir()
    loaded = load_any(published)
    assert loaded.config == whole.config
    assert_same(loaded.weights, whole.weights)
    assert loaded.tokenizer_dir == inner / "tokenizer"
    assert loaded.face_pack_dir == published / "face_pack"


def test_files_given_by_path(published: Path, tmp_path: Path) -> None:
    """From elsewhere, with their notes beside them; also on top of our own folder."""
    whole = load_any(published)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = (
        "SAA.bin",
        "IMR.bin",
        "key_point_encoder.bin",
        "image_encoder",
        "dynamicid_config.json",
    )
    for name in names:
        (published / name).rename(elsewhere / name)
    given: dict[str, Any] = {
        "adapter": elsewhere / "SAA.bin",
        "imr": str(elsewhere / "IMR.bin"),
        "keypoint_encoder": elsewhere / "key_point_encoder.bin",
        "image_encoder": elsewhere / "image_encoder",
    }
    assert set(load_any(published).weights) == BASE
    loaded = load_any(published, **given)
    assert loaded.config == whole.config
    assert_same(loaded.weights, whole.weights)

    plain = load_any(published)
    own = tmp_path / "own"
    model_folder.save(own, plain.config, plain.weights, plain.tokenizer_dir)
    loaded = load_any(own, **given)
    assert loaded.config == whole.config
    assert_same(loaded.weights, whole.weights)


def test_a_given_file_replaces_the_models_own(published: Path, tmp_path: Path) -> None:
    whole = load_any(published)
    before = {path: np.asarray(array) for path, array in flatten(whole.weights).items()}
    own = tmp_path / "own"
    model_folder.save(own, whole.config, whole.weights, whole.tokenizer_dir)
    state = {name: array + 1 for name, array in open_any(published / "SAA.bin").read()}
    save_file(state, tmp_path / "SAA.safetensors")
    for folder in (own, published):
        loaded = load_any(folder, adapter=tmp_path / "SAA.safetensors")
        for path, array in flatten(loaded.weights).items():
            ours = path.split("/")[0] in ("adapter", "face_projection")
            assert np.array_equal(array, before[path] + ours), path


def test_published_sizes_need_no_notes(published: Path) -> None:
    """Everything but IMR's heads is read off the shapes; 16 heads of 64 is the published form."""
    (published / "dynamicid_config.json").unlink()
    with pytest.raises(WeightsError, match=r"64 wide, not 16 heads of 64; give imr\.heads"):
        load_any(published)
    (published / "IMR.bin").unlink()
    assert load_any(published).config.adapter == AdapterConfig(lora_rank=4)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lora_rank": 8}, r"lora_rank = 8, but .*SAA\.bin has 4"),
        ({"num_tokens": 16}, "num_tokens = 16"),
        ({"imr": {"heads": 5, "dim_head": 16}}, "not 5 heads of 16"),
        ({"imr": {"heads": 4, "dim_head": 16, "erase_layer_num": 4}}, "erase_layer_num = 4"),
        ({"key_point_encoder": {"embedding_dim": 768}}, "embedding_dim = 768"),
        ({"processor_order": ["mid_block"]}, "processor_order"),
        ({"imr": 3}, "expected an object"),
        ({"imr": {"heads": "4"}}, "heads = '4'; expected a positive integer"),
        ({"colour": 3}, "colour = 3"),
    ],
)
def test_notes_that_contradict_the_files(published: Path, change: Any, match: str) -> None:
    path = published / "dynamicid_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match=match):
        load_any(published)


def test_an_imr_without_one_of_its_halves(published: Path) -> None:
    state = dict(open_any(published / "IMR.bin").read())
    kept = {name: array for name, array in state.items() if not name.startswith("entangleNet")}
    save_file(kept, published / "IMR.safetensors")
    (published / "IMR.bin").unlink()
    with pytest.raises(WeightsError, match="has no entangleNet"):
        load_any(published)


def test_files_in_each_others_place(published: Path) -> None:
    for argument in ("adapter", "keypoint_encoder", "imr"):
        other = "IMR.bin" if argument != "imr" else "SAA.bin"
        with pytest.raises(WeightsError, match="it is not the file expected here"):
            load_any(published, **{argument: published / other})  # type: ignore[arg-type]


def test_networks_of_different_models(published: Path) -> None:
    """An image encoder of another width than the face projection was trained with."""
    folder = published / "image_encoder"
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"hidden_size": 64}))
    match = "face projection's images has 48, the image encoder has 64; .* not of one model"
    with pytest.raises(WeightsError, match=match):
        load_any(published)


def test_adapter_of_a_smaller_unet(published: Path) -> None:
    """Every entry that is missing for the bigger one, and every one of a wrong size, in one report."""
    state = dict(open_any(published / "SAA.bin").read())
    kept = {name: array for name, array in state.items() if "SAA_module.31." not in name}
    kept["SAA_module.0.to_q_lora.up.weight"] = np.ones((8, 4), np.float32)
    save_file(kept, published / "SAA.safetensors")
    (published / "SAA.bin").unlink()
    with pytest.raises(WeightsError, match=r"10 missing .*; 1 misshaped"):
        load_any(published)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nowhere", "no such folder; expected a model folder"),
        ("base/unet/config.json", "a file; expected a model folder"),
        ("base/unet", "not a model; expected a folder with model.json"),
        ("mini", "without the packaged mini model"),
    ],
)
def test_no_model_there(base: Path, monkeypatch: pytest.MonkeyPatch, name: str, match: str) -> None:
    monkeypatch.chdir(base.parent)
    monkeypatch.setattr(packaged, "ASSETS", base.parent / "none")
    with pytest.raises(InputError, match=match):
        load_any(name)


def test_given_files_must_exist(base: Path) -> None:
    with pytest.raises(InputError, match=r"SAA\.bin: no such file"):
        load_any(base, adapter=base / "SAA.bin")


def test_progress_reaches_the_end(base: Path) -> None:
    seen = []
    load_any(base, progress=lambda *report: seen.append(report))
    done = [report[1] for report in seen]
    assert done == sorted(done)
    size = sum(
        array.nbytes for path in base.rglob("*.safetensors") for array in load_file(path).values()
    )
    assert seen[-1][1:] == (size, size)


def test_command(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = base.parent / "own"
    assert main(["convert", str(base), "--out", str(out), "--dtype", "bfloat16"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(out)
    assert "1,424,596 values" in next(line for line in printed if line.startswith("unet"))
    loaded = load_any(out)
    assert loaded.config == load_any(base, dtype="bfloat16").config
    assert_same(loaded.weights, load_any(base, dtype="bfloat16").weights)
    # a second time: refused before anything is read, and then replaced
    assert main(["convert", "nowhere", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["convert", str(base), "--out", str(out), "--overwrite"]) == 0
    assert load_any(out).config.dtype == "float32"


def test_command_prints_the_whole_report(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = base / "unet/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    removed = [name for name in state if name.startswith("mid_block.resnets")]
    save_file({name: state[name] for name in state.keys() - set(removed)}, path)
    assert main(["convert", str(base), "--out", str(base.parent / "own")]) == 2
    error = capsys.readouterr().err
    assert len(removed) > 10
    assert all(name in error for name in removed)
    assert not (base.parent / "own").exists()


def test_summary_counts() -> None:
    (line,) = convert.summary({"unet": {"a": {"b": np.ones((2, 3), np.float32)}, "c": np.ones(4)}})
    assert line.split() == ["unet", "2", "tensors", "10", "values", "0.0", "MB"]
