"""Our own model folder: written whole or not at all, read strictly."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from dynamicid_jax.convert import container, model_folder
from dynamicid_jax.convert.engine import MismatchError
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import OutputError
from dynamicid_jax.models.configs import (
    ModelConfig,
)
from dynamicid_jax.trees import flatten, nest


def test_round_trip(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    pack = tmp_path / "pack"
    (pack / "inner").mkdir(parents=True)
    (pack / "inner" / "net.onnx").write_bytes(b"net")
    folder = tmp_path / "model"
    model_folder.save(folder, small_config, weights, tokenizer, pack)
    loaded = load_any(folder)
    assert loaded.config == small_config
    assert loaded.tokenizer_dir == folder / "tokenizer"
    assert (loaded.tokenizer_dir / "vocab.json").read_text() == '{"a": 0}'
    assert loaded.face_pack_dir == folder / "face_pack"
    assert (folder / "face_pack/inner/net.onnx").read_bytes() == b"net"
    ours, theirs = flatten(loaded.weights), flatten(weights)
    assert ours.keys() == theirs.keys()
    for path, array in theirs.items():
        assert isinstance(ours[path], jax.Array)
        assert ours[path].dtype == array.dtype
        assert np.array_equal(ours[path], array), path


def test_its_files(saved: Path) -> None:
    """model.json holds no paths; names in the files are paths of the tree."""
    text = (saved / "model.json").read_text()
    assert "/" not in text
    assert json.loads(text)["adapter"]["lora_rank"] == 2
    names = set(load_file(saved / "keypoint_encoder.safetensors"))
    assert {"params/blocks_0_0/conv/kernel", "batch_stats/blocks_0_0/norm/var"} <= names
    assert "imr/null_keypoint" not in load_file(saved / "imr.safetensors")
    assert "null_keypoint" in load_file(saved / "imr.safetensors")
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model", "tok"]


def test_casting_spares_running_statistics(
    saved: Path, weights: dict[str, Any], small_config: ModelConfig
) -> None:
    loaded = load_any(saved, dtype="bfloat16")
    assert loaded.config == replace(small_config, dtype="bfloat16")
    for path, array in flatten(loaded.weights).items():
        statistic = path.startswith("keypoint_stats/")
        assert array.dtype == ("float32" if statistic else "bfloat16"), path
    kernel = np.asarray(weights["unet"]["conv_in"]["kernel"])
    assert np.array_equal(loaded.weights["unet"]["conv_in"]["kernel"], kernel.astype("bfloat16"))


def test_absent_parts_are_absent(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    config = ModelConfig(
        unet=small_config.unet, vae=small_config.vae, text_encoder=small_config.text_encoder
    )
    part = {name: weights[name] for name in ("unet", "vae", "text_encoder")}
    model_folder.save(tmp_path / "plain", config, part, tokenizer)
    loaded = load_any(tmp_path / "plain")
    assert (loaded.config, set(loaded.weights)) == (config, set(part))
    assert loaded.face_pack_dir is None


def test_weights_that_do_not_fit_are_not_written(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    flat = flatten(weights)
    del flat["unet/conv_in/bias"]
    flat["unet/conv_in/extra"] = np.ones(2, np.float32)
    flat["vae/quant_conv/bias"] = np.ones(2, np.float32)
    with pytest.raises(MismatchError) as caught:
        model_folder.save(tmp_path / "model", small_config, nest(flat), tokenizer)
    report = caught.value.report
    assert report.missing == ["unet/conv_in/bias"]
    assert report.unexpected == ["unet/conv_in/extra"]
    assert report.misshaped == ["vae/quant_conv/bias is [2], expected [8]"]
    assert not (tmp_path / "model").exists()


def test_an_existing_folder_stays(
    saved: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    before = (saved / "unet.safetensors").read_bytes()
    other = nest({path: array + 1 for path, array in flatten(weights).items()})
    with pytest.raises(OutputError, match="exists already"):
        model_folder.save(saved, small_config, other, tokenizer)
    assert (saved / "unet.safetensors").read_bytes() == before
    model_folder.save(saved, small_config, other, tokenizer, overwrite=True)
    assert (saved / "unet.safetensors").read_bytes() != before
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model", "tok"]


def test_only_a_model_folder_is_ever_replaced(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("four years")
    with pytest.raises(OutputError, match="is not a model folder"):
        model_folder.save(tmp_path / "thesis", small_config, weights, tokenizer, overwrite=True)
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "four years"


@pytest.mark.parametrize("existing", [False, True])
def test_no_space_leaves_nothing_behind(
    saved: Path,
    weights: dict[str, Any],
    tokenizer: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
    small_config: ModelConfig,
) -> None:
    target = saved if existing else saved.with_name("new")
    before = {path: path.read_bytes() for path in saved.parent.rglob("*") if path.is_file()}
    write, calls = container.write, []

    def full(path: Path, *args: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half of")
            raise OSError(28, "No space left on device")
        write(path, *args)

    monkeypatch.setattr(container, "write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        model_folder.save(target, small_config, weights, tokenizer, overwrite=existing)
    after = {path: path.read_bytes() for path in saved.parent.rglob("*") if path.is_file()}
    assert after == before


def test_where_it_cannot_be_written(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    with pytest.raises(OutputError, match="parent folder does not exist"):
        model_folder.save(tmp_path / "no" / "model", small_config, weights, tokenizer)
    with pytest.raises(OutputError, match="cannot be written"):
        model_folder.save(tmp_path / "model", small_config, weights, tmp_path / "no tokenizer")
    if os.geteuid():  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o555)
        with pytest.raises(OutputError, match="Permission denied"):
            model_folder.save(tmp_path / "locked" / "model", small_config, weights, tokenizer)
