"""All the ways in which a network's files are stored give the same parameters."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.trees import flatten

STEM = "diffusion_pytorch_model"
State = dict[str, np.ndarray]


def numbers(folder: Path, **more: Any) -> dict[str, np.ndarray]:
    weights = load_any(folder, place=lambda array: array, **more).weights
    return flatten(weights)


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    for path, array in theirs.items():
        assert ours[path].dtype == array.dtype, path
        assert np.array_equal(ours[path], array), path


def shard(folder: Path, stem: str, index: str, names: tuple[str, str]) -> None:
    """Replaces a network's file by two shards and their index."""
    whole = folder / f"{stem}.safetensors"
    state = load_file(whole)
    whole.unlink()
    keys = sorted(state)
    halves = (keys[::2], keys[1::2])
    for name, half in zip(names, halves, strict=True):
        save_file({key: state[key] for key in half}, folder / name)
    shards = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": shards}))


def rename(folder: Path, stem: str, change: Callable[[State], State]) -> None:
    path = folder / f"{stem}.safetensors"
    state = change(load_file(path))
    path.unlink()
    save_file(state, path)


def test_shards(base: Path) -> None:
    whole = numbers(base)
    names = (f"{STEM}-00001-of-00002.safetensors", f"{STEM}-00002-of-00002.safetensors")
    shard(base / "unet", STEM, f"{STEM}.safetensors.index.json", names)
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    shard(base / "text_encoder", "model", "model.safetensors.index.json", names)
    assert_same(numbers(base), whole)


def halve(folder: Path, stem: str) -> None:
    """Replaces a network's file by its fp16 variant."""
    path = folder / f"{stem}.safetensors"
    half = {name: array.astype(np.float16) for name, array in load_file(path).items()}
    save_file(half, folder / f"{stem}.fp16.safetensors")
    path.unlink()


def test_fp16_variant_keeps_its_kind_or_is_cast(base: Path) -> None:
    whole = numbers(base)
    for folder, stem in (("unet", STEM), ("vae", STEM), ("text_encoder", "model")):
        halve(base / folder, stem)
    half = {path: array.astype(np.float16) for path, array in whole.items()}
    assert_same(numbers(base), half)
    assert load_any(base).config.dtype == "float16"
    wide = {path: array.astype(np.float32) for path, array in half.items()}
    assert_same(numbers(base, dtype="float32"), wide)
    assert load_any(base, dtype=jnp.float32).config.dtype == "float32"


def test_sharded_fp16_variant(base: Path) -> None:
    whole = numbers(base)
    halve(base / "unet", STEM)
    (base / f"unet/{STEM}.fp16.safetensors").rename(base / f"unet/{STEM}.safetensors")
    names = (f"{STEM}.fp16-00001-of-00002.safetensors", f"{STEM}.fp16-00002-of-00002.safetensors")
    shard(base / "unet", STEM, f"{STEM}.safetensors.index.fp16.json", names)
    assert_same(numbers(base, dtype="float32"), {
        path: array.astype(np.float16).astype(np.float32) if path.startswith("unet/") else array
        for path, array in whole.items()
    })  # fmt: skip


def test_the_full_file_is_preferred_to_the_fp16_variant(base: Path) -> None:
    whole = numbers(base)
    unet = base / f"unet/{STEM}.safetensors"
    data = unet.read_bytes()
    halve(base / "unet", STEM)
    unet.write_bytes(data)
    assert_same(numbers(base), whole)


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_stored_kinds(base: Path, kind: Any) -> None:
    """bfloat16 and float16 stay; float64, which JAX does not use, becomes float32."""
    whole = numbers(base)
    rename(base / "unet", STEM, lambda state: {k: a.astype(kind) for k, a in state.items()})
    kept = np.float32 if kind is np.float64 else kind
    ours = numbers(base)
    for path, array in whole.items():
        if path.startswith("unet/"):
            assert ours[path].dtype == kept
            assert np.array_equal(ours[path], array.astype(kind).astype(kept))
    assert load_any(base).config.dtype == np.dtype(kept).name


@pytest.mark.parametrize("pointwise", [False, True])
def test_old_names_of_the_vaes_attentions(base: Path, pointwise: bool) -> None:
    whole = numbers(base)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def change(state: State) -> State:
        result = {}
        for name, array in state.items():
            for new, before in old.items():
                if f"attentions.0.{new}." in name:
                    name = name.replace(f".{new}.", f".{before}.")
                    array = array[:, :, None, None] if pointwise and array.ndim == 2 else array
                    break
            result[name] = np.ascontiguousarray(array)
        assert sum(".proj_attn." in name for name in result) == 4
        return result

    rename(base / "vae", STEM, change)
    assert_same(numbers(base), whole)


@pytest.mark.parametrize("prefix", ["text_model.", ""])
def test_text_tower_with_and_without_prefix_and_buffer(base: Path, prefix: str) -> None:
    whole = numbers(base)

    def change(state: State) -> State:
        renamed = {prefix + name.removeprefix("text_model."): a for name, a in state.items()}
        return renamed | {f"{prefix}embeddings.position_ids": np.arange(77)[None]}

    rename(base / "text_encoder", "model", change)
    assert_same(numbers(base), whole)


def add_image_encoder(base: Path, tiny_checkpoint: Path) -> Path:
    target = base.parent / "images"
    target.mkdir()
    for path in (tiny_checkpoint / "image_encoder").iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("kind", ["whole model", "no prefix", "no preprocessor"])
def test_vision_tower_in_other_files(base: Path, tiny_checkpoint: Path, kind: str) -> None:
    folder = add_image_encoder(base, tiny_checkpoint)
    before = load_any(base, image_encoder=folder, place=lambda array: array)
    if kind == "no preprocessor":
        (folder / "preprocessor_config.json").unlink()
    elif kind == "no prefix":
        rename(
            folder,
            "model",
            lambda state: {name.removeprefix("vision_model."): a for name, a in state.items()},
        )
    else:
        vision = json.loads((folder / "config.json").read_text())
        whole = {"model_type": "clip", "projection_dim": 32, "vision_config": vision}
        vision["projection_dim"] = 7  # a whole model's projection is not the vision config's
        (folder / "config.json").write_text(json.dumps(whole))
        text = {"text_model.final_layer_norm.bias": np.ones(3, np.float32)}
        more = {
            "logit_scale": np.array(4.6, np.float32),
            "text_projection.weight": np.ones((2, 2), np.float32),
        }
        rename(folder, "model", lambda state: state | text | more)
    after = load_any(base, image_encoder=folder, place=lambda array: array)
    assert after.config == before.config
    assert_same(flatten(after.weights), flatten(before.weights))


def test_pytorch_files_whole_and_sharded(base: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads .bin files")
    whole = numbers(base)

    def save(state: State, path: Path) -> None:
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)

    for folder, stem, name in (("vae", STEM, STEM), ("text_encoder", "model", "pytorch_model")):
        path = base / folder / f"{stem}.safetensors"
        save(load_file(path), path.with_name(f"{name}.bin"))
        path.unlink()
    unet = base / f"unet/{STEM}.safetensors"
    state = load_file(unet)
    unet.unlink()
    keys = sorted(state)
    weight_map: dict[str, str] = {}
    for number, half in enumerate((keys[:300], keys[300:])):
        name = f"{STEM}-{number}.bin"
        save({key: state[key] for key in half}, unet.with_name(name))
        weight_map |= dict.fromkeys(half, name)
    index = unet.with_name(f"{STEM}.bin.index.json")
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert_same(numbers(base), whole)


def test_no_weights_at_all(base: Path) -> None:
    (base / f"vae/{STEM}.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"vae: no weights found; expected .*\.safetensors"):
        load_any(base)


def test_an_index_may_not_point_elsewhere(base: Path) -> None:
    unet = base / f"unet/{STEM}.safetensors"
    unet.rename(base / "elsewhere.safetensors")
    index = unet.with_name(f"{STEM}.safetensors.index.json")
    outside = ["../elsewhere.safetensors", str(base / "elsewhere.safetensors"), "..", "a/b", "", 3]
    for name in outside:
        index.write_text(json.dumps({"weight_map": {"conv_in.bias": name}}))
        with pytest.raises(WeightsError, match="expected the name of a file beside the index"):
            load_any(base)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": ["a"]}'])
def test_a_damaged_index(base: Path, text: str) -> None:
    unet = base / f"unet/{STEM}.safetensors"
    unet.unlink()
    unet.with_name(f"{STEM}.safetensors.index.json").write_text(text)
    with pytest.raises(WeightsError, match="not an index of shards"):
        load_any(base)


def test_a_missing_shard_and_a_tensor_in_two(base: Path) -> None:
    names = (f"{STEM}-1.safetensors", f"{STEM}-2.safetensors")
    shard(base / "unet", STEM, f"{STEM}.safetensors.index.json", names)
    first, second = (base / "unet" / name for name in names)
    data = second.read_bytes()
    second.unlink()
    with pytest.raises(WeightsError, match=f"lists {names[1]}, which is not there"):
        load_any(base)
    second.write_bytes(data)
    save_file(load_file(second) | {"conv_in.bias": np.ones(3)}, second)
    save_file(load_file(first) | {"conv_in.bias": np.ones(3)}, first)
    with pytest.raises(WeightsError, match="1 tensors are in several shards"):
        load_any(base)


def test_dtype_is_one_of_three(base: Path) -> None:
    for dtype in ("float64", "int8", "nonsense"):
        with pytest.raises(InputError, match="expected float32, bfloat16, float16"):
            load_any(base, dtype=dtype)
