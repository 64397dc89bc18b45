"""Reads the recorded numbers of the published code (tests/golden, its README says what they are).

import golden_io as golden

case, meta = golden.load("c_two_ids")   # case["sd"], case["in"], case["out"]: numpy arrays
golden.close(ours, case["out"]["output"], 2e-5)
golden.checkpoint                       # a folder in the published layout, tiny, random weights
golden.tiny                             # the settings that the f_ and g_ cases were recorded with
"""

import copy
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from golden_noise import Noise

FOLDER = Path(__file__).resolve().parent / "golden"
UNPACKED = FOLDER / "unpacked" / "tiny_checkpoint"  # ignored by git, put together on first use

Case = dict[str, dict[str, np.ndarray]]


def __getattr__(name: str) -> Any:
    """`checkpoint` and `tiny`, made when first asked for."""
    if name == "checkpoint":
        return _checkpoint()
    if name == "tiny":
        return copy.deepcopy(_json("cases")["tiny"])
    raise AttributeError(name)


def cases(prefix: str = "") -> list[str]:
    """Names of the recorded cases that start with `prefix`, for `pytest.mark.parametrize`."""
    return [name for name in _json("cases")["cases"] if name.startswith(prefix)]


def load(name: str) -> tuple[Case, dict[str, Any]]:
    """One case: its arrays as {"sd", "in", "out"} by published name, and its settings."""
    flat = stored_arrays(name)
    if digest(flat) != _json("cases")["sha256"][name]:
        raise ValueError(
            f"{name}: its arrays are not the recorded ones; was tests/golden changed by hand?"
        )
    meta = copy.deepcopy(_json("cases")["cases"][name])
    return nest(flat, meta), meta


def stored_arrays(name: str) -> dict[str, np.ndarray]:
    """One case's arrays by the keys of the recording, noise drawn again."""
    recipes = _json("noise")[name]
    with np.load(FOLDER / f"{name}.npz") as stored:
        flat = {key: stored[key] for key in stored.files}
    noise = [
        Noise(seed, at, int(np.prod(shape)), *rest) for seed, at, shape, *rest in recipes.values()
    ]
    drawn = draw(noise, flat.pop("fix/index", None), flat.pop("fix/value", None))
    for (key, recipe), values in zip(recipes.items(), drawn, strict=True):
        flat[key] = values.reshape(recipe[2])
    return flat


def draw(
    noise: list[Noise], index: np.ndarray | None, value: np.ndarray | None
) -> list[np.ndarray]:
    """The noise arrays, flat float32; `value` corrects them at `index`, counted through all."""
    drawn = np.concatenate([recipe.values() for recipe in noise] or [np.zeros(0, np.float16)])
    if index is not None:
        drawn[index] = value
    ends = np.cumsum([recipe.count for recipe in noise])
    return np.split(drawn.astype(np.float32), ends[:-1]) if noise else []


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum over names, shapes, kinds and bytes."""
    total = hashlib.sha256()
    for key in sorted(arrays):
        total.update(f"{key} {arrays[key].shape} {arrays[key].dtype}".encode())
        total.update(np.ascontiguousarray(arrays[key]).tobytes())
    return total.hexdigest()


def nest(flat: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Case:
    """{"sd/name": array, ...} to {"sd": {"name": array}, ...}.

    The keypoint encoder's convolutions were recorded as overlapping strided views of short arrays,
    "base/name".
    """
    case: Case = {"sd": {}, "in": {}, "out": {}}
    for key, array in flat.items():
        part, name = key.split("/", 1)
        if part == "base":
            strides = [array.itemsize * step for step in meta["conv_strides"][name]]
            view = np.lib.stride_tricks.as_strided(array, meta["conv_shapes"][name], strides)
            case["sd"][name] = np.ascontiguousarray(view)
        else:
            case[part][name] = array
    return case


def close(actual: Any, reference: Any, tolerance: float) -> float:
    """Asserts max |actual - reference| / max |reference| <= tolerance, and returns that ratio.

    Shapes must agree exactly; a value that is not finite, on either side, fails.
    """
    ours, theirs = np.asarray(actual, np.float64), np.asarray(reference, np.float64)
    assert ours.shape == theirs.shape, f"shape {ours.shape}, recorded {theirs.shape}"
    for side, values in (("the result", ours), ("the recording", theirs)):
        bad = int(values.size - np.isfinite(values).sum())
        assert bad == 0, f"{bad} of {values.size} values of {side} are not finite"
    difference, largest = np.abs(ours - theirs), float(np.abs(theirs).max())
    worst = np.unravel_index(difference.argmax(), difference.shape)
    ratio = float(difference[worst]) / (largest or 1.0)
    assert ratio <= tolerance, (
        f"largest difference is {ratio:.3g} of the largest recorded value {largest:.4g}, "
        f"allowed {tolerance:.3g}; at {tuple(map(int, worst))}: "
        f"{ours[worst]:.7g}, recorded {theirs[worst]:.7g}"
    )
    return ratio


@functools.cache
def _checkpoint() -> Path:
    """The tiny checkpoint as a folder, file by file as recorded."""
    digests = _json("cases")["checkpoint sha256"]
    if _intact(UNPACKED, digests):
        return UNPACKED
    UNPACKED.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED.parent) as scratch:
        made, old = Path(scratch) / "made", Path(scratch) / "old"
        unpack_checkpoint(made)
        if not _intact(made, digests):
            raise ValueError(
                "tiny_checkpoint.npz does not give the recorded files; was it changed?"
            )
        if not _intact(UNPACKED, digests):  # a test run beside this one may have been faster
            if UNPACKED.exists():
                os.replace(UNPACKED, old)
            os.replace(made, UNPACKED)
    return UNPACKED


def unpack_checkpoint(folder: Path) -> None:
    """Writes the tiny checkpoint's files: what was kept of each, its noise put back in place."""
    with np.load(FOLDER / "tiny_checkpoint.npz") as stored:
        parts = {key: stored[key] for key in stored.files}
    for name, recipes in _json("noise")["tiny_checkpoint"].items():
        index, value = (parts.get(f"{part}:{name}") for part in ("fix/index", "fix/value"))
        drawn = draw([Noise(*recipe) for _, *recipe in recipes], index, value)
        data, rest, used = bytearray(), parts[name].tobytes(), 0
        for (offset, *_), values in zip(recipes, drawn, strict=True):
            gap = offset - len(data)
            data += rest[used : used + gap] + values.astype("<f4").tobytes()
            used += gap
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data + rest[used:])


def _intact(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether every file is there with the recorded bytes."""
    return all(
        (folder / name).is_file()
        and hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected
        for name, expected in digests.items()
    )


@functools.cache
def _json(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())
