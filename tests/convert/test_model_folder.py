"""Our own model folder: written whole or not at all, read strictly."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dynamicid_jax.convert import model_folder, tensors
from dynamicid_jax.convert.engine import MismatchError
from dynamicid_jax.convert.expected import expected_shapes
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.trees import flatten, nest
from dynamicid_jax.errors import OutputError, WeightsError
from dynamicid_jax.models.configs import (
    AdapterConfig,
    FaceProjectionConfig,
    ImageEncoderConfig,
    IMRConfig,
    KeypointEncoderConfig,
    ModelConfig,
    TextEncoderConfig,
    UNetConfig,
    VAEConfig,
)

# Every part, as small as it goes.
CONFIG = ModelConfig(
    unet=UNetConfig(
        block_channels=(8, 8),
        transformer_depth=(1, 0),
        num_heads=(2, 2),
        layers_per_block=1,
        context_width=8,
        norm_groups=4,
    ),
    vae=VAEConfig(block_channels=(4, 4), layers_per_block=1, norm_groups=2),
    text_encoder=TextEncoderConfig(16, 8, 1, 2, 8, 7, eot_token_id=15),
    image_encoder=ImageEncoderConfig(8, 2, 2, 8, 14, 28, 4),
    adapter=AdapterConfig(lora_rank=2),
    face_projection=FaceProjectionConfig(8, 8, 8, 4, 1, 4),
    keypoint_encoder=KeypointEncoderConfig(8),
    imr=IMRConfig(8, 2, 4, 4, 8, 8, 8, null_keypoint=True),
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    generator = np.random.default_rng(0)

    def draw(leaf: Any) -> np.ndarray:
        return generator.standard_normal(leaf.shape).astype(np.float32)

    shapes = expected_shapes(CONFIG)
    return {
        name: nest({p: draw(leaf) for p, leaf in part.items()}) for name, part in shapes.items()
    }


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tok"
    folder.mkdir()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


@pytest.fixture
def saved(tmp_path: Path, weights: dict[str, Any], tokenizer: Path) -> Path:
    folder = tmp_path / "model"
    model_folder.save(folder, CONFIG, weights, tokenizer)
    return folder


def test_round_trip(tmp_path: Path, weights: dict[str, Any], tokenizer: Path) -> None:
    pack = tmp_path / "pack"
    (pack / "inner").mkdir(parents=True)
    (pack / "inner" / "net.onnx").write_bytes(b"net")
    folder = tmp_path / "model"
    model_folder.save(folder, CONFIG, weights, tokenizer, pack)
    loaded = load_any(folder)
    assert loaded.config == CONFIG
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


def test_casting_spares_running_statistics(saved: Path, weights: dict[str, Any]) -> None:
    loaded = load_any(saved, dtype="bfloat16")
    assert loaded.config == replace(CONFIG, dtype="bfloat16")
    for path, array in flatten(loaded.weights).items():
        statistic = path.startswith("keypoint_stats/")
        assert array.dtype == ("float32" if statistic else "bfloat16"), path
    kernel = np.asarray(weights["unet"]["conv_in"]["kernel"])
    assert np.array_equal(loaded.weights["unet"]["conv_in"]["kernel"], kernel.astype("bfloat16"))


def test_absent_parts_are_absent(tmp_path: Path, weights: dict[str, Any], tokenizer: Path) -> None:
    config = ModelConfig(unet=CONFIG.unet, vae=CONFIG.vae, text_encoder=CONFIG.text_encoder)
    part = {name: weights[name] for name in ("unet", "vae", "text_encoder")}
    model_folder.save(tmp_path / "plain", config, part, tokenizer)
    loaded = load_any(tmp_path / "plain")
    assert (loaded.config, set(loaded.weights)) == (config, set(part))
    assert loaded.face_pack_dir is None


def test_weights_that_do_not_fit_are_not_written(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path
) -> None:
    flat = flatten(weights)
    del flat["unet/conv_in/bias"]
    flat["unet/conv_in/extra"] = np.ones(2, np.float32)
    flat["vae/quant_conv/bias"] = np.ones(2, np.float32)
    with pytest.raises(MismatchError) as caught:
        model_folder.save(tmp_path / "model", CONFIG, nest(flat), tokenizer)
    report = caught.value.report
    assert report.missing == ["unet/conv_in/bias"]
    assert report.unexpected == ["unet/conv_in/extra"]
    assert report.misshaped == ["vae/quant_conv/bias is [2], expected [8]"]
    assert not (tmp_path / "model").exists()


def test_an_existing_folder_stays(saved: Path, weights: dict[str, Any], tokenizer: Path) -> None:
    before = (saved / "unet.safetensors").read_bytes()
    other = nest({path: array + 1 for path, array in flatten(weights).items()})
    with pytest.raises(OutputError, match="exists already"):
        model_folder.save(saved, CONFIG, other, tokenizer)
    assert (saved / "unet.safetensors").read_bytes() == before
    model_folder.save(saved, CONFIG, other, tokenizer, overwrite=True)
    assert (saved / "unet.safetensors").read_bytes() != before
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model", "tok"]


def test_only_a_model_folder_is_ever_replaced(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("four years")
    with pytest.raises(OutputError, match="is not a model folder"):
        model_folder.save(tmp_path / "thesis", CONFIG, weights, tokenizer, overwrite=True)
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == "four years"


@pytest.mark.parametrize("existing", [False, True])
def test_no_space_leaves_nothing_behind(
    saved: Path,
    weights: dict[str, Any],
    tokenizer: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
) -> None:
    target = saved if existing else saved.with_name("new")
    before = {path: path.read_bytes() for path in saved.parent.rglob("*") if path.is_file()}
    write, calls = tensors.container.write, []

    def full(path: Path, *args: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half of")
            raise OSError(28, "No space left on device")
        write(path, *args)

    monkeypatch.setattr(tensors.container, "write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        model_folder.save(target, CONFIG, weights, tokenizer, overwrite=existing)
    after = {path: path.read_bytes() for path in saved.parent.rglob("*") if path.is_file()}
    assert after == before


def test_where_it_cannot_be_written(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path
) -> None:
    with pytest.raises(OutputError, match="parent folder does not exist"):
        model_folder.save(tmp_path / "no" / "model", CONFIG, weights, tokenizer)
    with pytest.raises(OutputError, match="cannot be written"):
        model_folder.save(tmp_path / "model", CONFIG, weights, tmp_path / "no tokenizer")
    if os.geteuid():  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o555)
        with pytest.raises(OutputError, match="Permission denied"):
            model_folder.save(tmp_path / "locked" / "model", CONFIG, weights, tokenizer)


def refuse(folder: Path, match: str) -> None:
    with pytest.raises(WeightsError, match=match) as caught:
        load_any(folder)
    assert "\n" not in str(caught.value)


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    first = next(name for name in header if name != "__metadata__")
    if kind == "range beyond the end":
        header[first]["data_offsets"][1] += 1 << 40
    if kind == "range of another size":
        header[first]["shape"] = [3, 3]
    if kind == "ranges that overlap":
        second = [name for name in header if name != "__metadata__"][1]
        header[second]["data_offsets"] = header[first]["data_offsets"]
        header[second]["shape"] = header[first]["shape"]
    if kind == "negative range":
        header[first]["data_offsets"][0] = -8
    text = json.dumps(header).encode()
    path.write_bytes({
        "empty": b"",
        "no header": data[:5],
        "header cut": data[: 8 + size // 2],
        "data cut": data[:-10],
        "data too long": data + b"more",
        "header too long": (1 << 60).to_bytes(8, "little") + data[8:],
        "header is no JSON": data[:8] + b"x" * size + data[8 + size :],
        "a text": b"<html>404 not found</html>" * 20,
    }.get(kind, len(text).to_bytes(8, "little") + text + data[8 + size :]))  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "no header",
        "header cut",
        "data cut",
        "data too long",
        "header too long",
        "header is no JSON",
        "a text",
        "range beyond the end",
        "range of another size",
        "ranges that overlap",
        "negative range",
    ],
)
def test_a_damaged_file(saved: Path, kind: str) -> None:
    damage(saved / "vae.safetensors", kind)
    refuse(saved, r"vae\.safetensors: not a whole safetensors file")


def test_a_file_that_changes_while_it_is_read(saved: Path) -> None:
    """The header was whole when it was checked; the data is not when it is read."""
    config = model_folder.read_config(saved)
    parts = model_folder.open_parts(saved, config)
    path = saved / "vae.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"vae\.safetensors: cannot be read .it ends early"):
        model_folder.load_parts(config, parts)


def test_a_missing_file(saved: Path) -> None:
    (saved / "imr.safetensors").unlink()
    refuse(saved, r"imr\.safetensors: no such file")


def test_files_of_another_model(saved: Path) -> None:
    state = load_file(saved / "unet.safetensors")
    state["conv_in/kernel"] = np.ones((3, 3, 4, 9), np.float32)
    state["more"] = np.ones(1, np.float32)
    save_file(state, saved / "unet.safetensors")
    state = load_file(saved / "keypoint_encoder.safetensors")
    del state["batch_stats/blocks_0_0/norm/var"]
    save_file(state, saved / "keypoint_encoder.safetensors")
    with pytest.raises(MismatchError) as caught:
        load_any(saved)
    report = caught.value.report
    assert [len(getattr(report, kind)) for kind in report.KINDS] == [1, 1, 0, 1]
    assert "keypoint_encoder.safetensors: batch_stats/blocks_0_0/norm/var" in report.missing[0]
    assert "is [3, 3, 4, 9], expected [3, 3, 4, 8]" in report.misshaped[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda values: values["unet"].update(colour=3), "unknown key 'colour'"),
        (lambda values: values["unet"].update(in_channels="4"), "in_channels: expected"),
        (lambda values: values["unet"].update(num_heads=[3, 3]), "no network that can be built"),
        (lambda values: values["unet"].update(context_width=4), "not of one model"),
        (lambda values: values["text_encoder"].update(num_layers=2), r"16 missing"),
        (lambda values: values.update(imr=None, keypoint_encoder={"width": 9}), "misshaped"),
    ],
)
def test_another_config(saved: Path, change: Any, match: str) -> None:
    values = json.loads((saved / "model.json").read_text())
    change(values)
    (saved / "model.json").write_text(json.dumps(values))
    refuse(saved, match)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_config(saved: Path, text: str) -> None:
    (saved / "model.json").write_text(text)
    refuse(saved, r"model\.json: (not JSON|expected a JSON object)")


def test_without_a_tokenizer(saved: Path) -> None:
    shutil.rmtree(saved / "tokenizer")
    refuse(saved, "tokenizer: no tokenizer")
