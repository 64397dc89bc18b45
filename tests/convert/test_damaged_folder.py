"""A model folder that is damaged or of another model: one line that says which file, and why."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.engine import MismatchError
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.parts import load_parts
from dynamicid_jax.errors import WeightsError


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
    if kind == "an empty tensor of any size":
        empty = {"dtype": "F32", "shape": [0, 1 << 60], "data_offsets": [0, 0]}
        header = {"empty": empty, **header}
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
        "an empty tensor of any size",
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
        load_parts(config, parts)


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


def test_names_of_a_strangers_file_stay_on_one_line(saved: Path) -> None:
    state = load_file(saved / "vae.safetensors")
    state["line\nbreak \x1b[31m"] = np.ones(1, np.float32)
    save_file(state, saved / "vae.safetensors")
    refuse(saved, r"line\?break \?\[31m")
