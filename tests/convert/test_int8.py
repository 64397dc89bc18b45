"""8-bit weights: the error bound, exactness of a second round, strict reading, modest memory."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dynamicid_jax.convert import container, int8, model_folder
from dynamicid_jax.convert.container import Entry
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.convert.tensors import open_file
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.trees import flatten, nest

SHAPES = [(1, 1), (3, 5), (64, 7), (3, 3, 4, 16), (2, 3, 5), (500, 2)]


def draw(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights whose channels differ by many orders of magnitude."""
    dice = np.random.default_rng(seed)
    sizes = 10.0 ** dice.uniform(-12, 6, shape[-1])
    return (dice.standard_normal(shape) * sizes).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", SHAPES)
def test_error_is_half_a_step_and_a_second_round_is_exact(
    shape: tuple[int, ...], seed: int
) -> None:
    weights = draw(shape, seed)
    levels, scale = int8.quantise(weights)
    assert (levels.dtype, scale.dtype, scale.shape) == (np.int8, np.float32, shape[-1:])
    assert levels.min() >= -127
    assert (np.abs(levels).max(axis=tuple(range(len(shape) - 1))) == 127).all()
    again = int8.dequantise(levels, scale)
    error = np.abs(again.astype(np.float64) - weights)
    assert (error <= scale * 0.5 * (1 + 1e-5)).all()
    # (3) is exact in float32.
    assert np.array_equal(again, levels.astype(np.float64) * scale.astype(np.float64))
    second_levels, second_scale = int8.quantise(again)
    assert np.array_equal(second_levels, levels)
    assert np.array_equal(second_scale, scale)


def test_channels_of_zeros_and_of_one_value() -> None:
    weights = np.array([[0, 2.5, -1], [0, 2.5, 1]], np.float32)
    levels, scale = int8.quantise(weights)
    assert levels.tolist() == [[0, 127, -127], [0, 127, 127]]
    assert np.allclose(int8.dequantise(levels, scale), weights, rtol=2**-15, atol=0)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(WeightsError, match="conv/kernel: holds values that are not finite"):
        int8.quantise(np.array([[1.0, np.nan]], np.float32), "conv/kernel")


@pytest.fixture
def small(
    tmp_path: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> Path:
    model_folder.save(tmp_path / "small", small_config, weights, tokenizer, dtype="int8")
    return tmp_path / "small"


def test_model_folder(
    small: Path,
    tmp_path: Path,
    weights: dict[str, Any],
    tokenizer: Path,
    small_config: ModelConfig,
) -> None:
    assert model_folder.read_config(small) == replace(small_config, dtype="int8")
    loaded = load_any(small)
    assert loaded.config == small_config  # float32, as the arrays are
    ours, theirs = flatten(loaded.weights), flatten(weights)
    assert ours.keys() == theirs.keys()
    for path, array in theirs.items():
        assert ours[path].dtype == jnp.float32, path
        if array.ndim < 2:
            assert np.array_equal(ours[path], array), path
        else:
            _, scale = int8.quantise(array)
            off = np.abs(np.asarray(ours[path]) - array)
            assert (off <= scale * 0.5 * (1 + 1e-5)).all(), path
    again = tmp_path / "again"
    model_folder.save(again, loaded.config, loaded.weights, tokenizer, dtype="int8")
    for file in small.glob("*.safetensors"):
        assert file.read_bytes() == (again / file.name).read_bytes()


def test_its_file_is_small_and_any_reader_can_open_it(small: Path) -> None:
    arrays = load_file(small / "unet.safetensors")
    kernel = arrays["conv_in/kernel"]
    assert kernel.dtype == np.int8
    assert arrays["conv_in/kernel.scale"].shape == kernel.shape[-1:]
    assert arrays["conv_in/bias"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_loading_casts(small: Path, dtype: str) -> None:
    plain = flatten(load_any(small, place=np.asarray).weights)
    loaded = load_any(small, dtype=dtype, place=np.asarray)
    assert loaded.config.dtype == dtype
    for path, array in flatten(loaded.weights).items():
        statistic = path.startswith("keypoint_stats/")
        assert array.dtype == ("float32" if statistic else dtype), path
        assert np.array_equal(array, plain[path].astype(array.dtype)), path


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_saving_casts(
    tmp_path: Path,
    weights: dict[str, Any],
    tokenizer: Path,
    small_config: ModelConfig,
    dtype: str,
) -> None:
    model_folder.save(tmp_path / "cast", small_config, weights, tokenizer, dtype=dtype)
    loaded = load_any(tmp_path / "cast", place=np.asarray)
    assert loaded.config.dtype == dtype
    assert loaded.weights["unet"]["conv_in"]["kernel"].dtype == dtype
    statistics = flatten(loaded.weights["keypoint_stats"]).values()
    assert {array.dtype.name for array in statistics} == {"float32"}


def test_other_dtypes_are_refused(
    small: Path, weights: dict[str, Any], tokenizer: Path, small_config: ModelConfig
) -> None:
    with pytest.raises(InputError, match="'int4' cannot be written; expected float32"):
        model_folder.save(small, small_config, weights, tokenizer, overwrite=True, dtype="int4")
    with pytest.raises(InputError, match="'int8' is not supported"):
        load_any(small, dtype="int8")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda a: a.pop("conv_in/kernel.scale"), "conv_in/kernel.scale is not float32"),
        (lambda a: a.update({"conv_in/kernel.scale": np.ones(3, "f4")}), "is not float32"),
        (lambda a: a.update({"conv_in/bias.scale": np.ones(8, "f4")}), "a scale of no int8"),
        (lambda a: a["conv_in/kernel.scale"].fill(np.nan), "must be positive"),
        (lambda a: a["conv_in/kernel.scale"].fill(0), "must be positive"),
    ],
)
def test_damage_is_seen(small: Path, change: Any, match: str) -> None:
    arrays = {name: array.copy() for name, array in load_file(small / "unet.safetensors").items()}
    change(arrays)
    save_file(arrays, small / "unet.safetensors")
    with pytest.raises(WeightsError, match=match):
        load_any(small)


def test_scales_may_lie_anywhere(tmp_path: Path) -> None:
    """Our writer puts them first; another's may not."""
    entries = {"b": Entry("I8", (2, 1)), "b.scale": Entry("F32", (1,))}
    data = [("b", np.array([1, -2], np.int8)), ("b.scale", np.array([0.5], np.float32))]
    container.write(tmp_path / "odd.safetensors", entries, data)
    read = dict(int8.opened(open_file(tmp_path / "odd.safetensors")).read())
    assert read["b"].tolist() == [[0.5], [-1.0]]


def test_memory_stays_near_the_size_of_the_arrays(tmp_path: Path) -> None:
    arrays = {f"layer_{i:02}/kernel": np.ones((256, 1024), np.float32) for i in range(32)}
    from dynamicid_jax.convert import tensors

    tensors.write(tmp_path / "big.safetensors", int8.stored(arrays))
    size = sum(array.nbytes for array in arrays.values())
    source = int8.opened(open_file(tmp_path / "big.safetensors"))
    tracemalloc.start()
    try:
        for _, array in source.read(reuse=True):
            del array
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 8


def test_a_whole_tree_of_one_array() -> None:
    """Nothing but rank decides."""
    flat = int8.stored(flatten(nest({"a/kernel": np.ones((2, 2)), "a/bias": np.ones(2)})))
    assert {name: array.dtype.name for name, array in flat.items()} == {
        "a/kernel": "int8",
        "a/kernel.scale": "float32",
        "a/bias": "float32",
    }
