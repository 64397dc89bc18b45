"""Makes the trimmed goldens of this folder: `python tests/golden/trim.py FULL_RECORDINGS`.

Nothing is rounded. Three things make them small: arrays that no test needs are left out
(`unneeded`); arrays that are seeded noise are kept as a recipe (golden_noise.py), found by looking
for their first 16 values among the generator's draws; and of the checkpoint's files only what lies
between their noise arrays is kept. At the end everything is read back and compared bit for bit.
"""

import argparse
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import golden_io  # noqa: E402  the reader next door, which this tool writes for
from golden_noise import BLOCK, Noise, box_muller, normals, uniforms  # noqa: E402

CHECKPOINT_SEEDS = {
    "key_point_encoder.bin": 1010
}  # every other file of the checkpoint continues one stream:
CHECKPOINT_SEED = 1001
CHUNK = 20_000


def unneeded(name: str, key: str) -> bool:
    """Arrays that are left out: attention logits, and decoded pictures in their float form."""
    if name.startswith("c_"):
        return re.fullmatch(r"out/(mask_)?score\d*", key) is not None
    return name.startswith("f_sample_") and key == "out/image_float_nhwc"


def find_noise(arrays: Mapping[str, np.ndarray], seed: int) -> dict[str, Noise]:
    """Which float32 arrays are seeded noise, and where in the generator's stream they start."""
    wanted = {
        k: v
        for k, v in arrays.items()
        if v.dtype == np.float32 and v.size >= BLOCK and np.std(v.flat[:BLOCK]) > 0
    }
    if not wanted:
        return {}
    heads = _standardised(np.stack([v.ravel()[:BLOCK] for v in wanted.values()]))
    draws = uniforms(seed, int(1.5 * sum(v.size for v in arrays.values())) + CHUNK)
    best, position = np.zeros(len(wanted)), np.zeros(len(wanted), int)
    for start in range(0, len(draws) - BLOCK, CHUNK):
        windows = np.lib.stride_tricks.sliding_window_view(
            draws[start : start + CHUNK + BLOCK - 1], BLOCK
        )
        match = heads @ _standardised(box_muller(windows.ravel()).reshape(-1, BLOCK)).T
        peak = match.argmax(1)
        better = match[np.arange(len(wanted)), peak] > best
        best = np.where(better, match[np.arange(len(wanted)), peak], best)
        position = np.where(better, start + peak, position)
    found = {}
    for key, score, at in zip(wanted, best, position, strict=True):
        noise = _fit(wanted[key], seed, int(at)) if score > 0.999 else None
        if noise is not None:
            found[key] = noise
    return found


def _standardised(rows: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and length 1."""
    centred = rows - rows.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).sum(1, keepdims=True))


def _fit(array: np.ndarray, seed: int, position: int) -> Noise | None:
    """The scale and mean that miss the fewest values; None if it is not this noise."""
    target = array.ravel()
    slope, offset = np.polyfit(normals(seed, position, target.size), target.astype(np.float64), 1)
    scales = (
        round(slope, 3),
        0.9 / np.sqrt(max(round((0.9 / slope) ** 2), 1)),
        slope,
    )  # 0.9 / sqrt(inputs): weights
    trials = [
        Noise(seed, position, target.size, float(scale), float(mean))
        for scale in scales
        for mean in (round(offset, 1) + 0.0, offset)
    ]
    misses = [int((trial.values().astype(np.float32) != target).sum()) for trial in trials]
    chosen = int(np.argmin(misses))
    return trials[chosen] if misses[chosen] <= 0.05 * target.size else None


def corrections(
    noise: Mapping[str, Noise], arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Where the recipes, one after the other, miss the recorded value; that value as float16."""
    if not noise:
        return {}
    drawn = np.concatenate([recipe.values() for recipe in noise.values()])
    recorded = np.concatenate([arrays[key].ravel() for key in noise])
    index = np.flatnonzero(drawn.astype(np.float32).view("u4") != recorded.view("u4"))  # -0.0 too
    value = recorded[index].astype(np.float16)
    if not np.array_equal(value.astype(np.float32), recorded[index]):
        raise ValueError("an array that looks like noise holds values that float16 cannot")
    return {"fix/index": index.astype(np.uint32), "fix/value": value} if len(index) else {}


def trim_case(arrays: Mapping[str, np.ndarray], name: str, meta: Mapping, out: Path) -> dict:
    """Writes one case's arrays and returns its recipes as JSON values."""
    noise: dict[str, Noise] = {}
    for seed in (meta["seed"], meta["seed"] + 1) if "seed" in meta else ():
        left = {k: v for k, v in arrays.items() if k not in noise and not k.startswith("out/")}
        noise |= find_noise(left, seed)
    kept = {k: v for k, v in arrays.items() if k not in noise}
    write_npz(out / f"{name}.npz", kept | corrections(noise, arrays))
    return {
        key: [n.seed, n.position, list(arrays[key].shape), n.scale, n.mean]
        for key, n in noise.items()
    }


def payloads(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Byte offset and values of each float32 tensor in a safetensors file or a PyTorch zip file."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        start = 8 + int.from_bytes(data[:8], "little")
        for entry in json.loads(data[8:start]).values():
            if entry.get("dtype") == "F32":
                low, high = entry["data_offsets"]
                yield (
                    start + low,
                    np.frombuffer(data[start + low : start + high], "<f4").reshape(entry["shape"]),
                )
    elif path.suffix == ".bin":
        for entry in zipfile.ZipFile(path).infolist():
            if re.search(r"/data/\d+$", entry.filename) and entry.file_size % 4 == 0:
                names = int.from_bytes(
                    data[entry.header_offset + 26 : entry.header_offset + 28], "little"
                )
                extra = int.from_bytes(
                    data[entry.header_offset + 28 : entry.header_offset + 30], "little"
                )
                at = entry.header_offset + 30 + names + extra
                yield at, np.frombuffer(data[at : at + entry.file_size], "<f4")


def trim_checkpoint(folder: Path, files: list[Path], out: Path) -> dict:
    """Writes what is not noise in the checkpoint's files, returns the recipes of what is."""
    recipes, rest = {}, {}
    tensors = {p.relative_to(folder).as_posix(): dict(payloads(p)) for p in files}
    shared = {
        f"{n}:{at}": a
        for n, t in tensors.items()
        if n not in CHECKPOINT_SEEDS
        for at, a in t.items()
    }
    found = find_noise(shared, CHECKPOINT_SEED)
    for path in files:
        name = path.relative_to(folder).as_posix()
        if name in CHECKPOINT_SEEDS:
            keyed = {f"{name}:{at}": a for at, a in tensors[name].items()}
            found |= find_noise(keyed, CHECKPOINT_SEEDS[name])
        noise = {
            at: found[f"{name}:{at}"] for at in sorted(tensors[name]) if f"{name}:{at}" in found
        }
        data, keep, end = path.read_bytes(), [], 0
        for at, recipe in noise.items():
            keep.append(data[end:at])
            end = at + 4 * recipe.count
        rest[name] = np.frombuffer(b"".join([*keep, data[end:]]), np.uint8)
        named = {str(at): recipe for at, recipe in noise.items()}
        fixes = corrections(named, {str(at): tensors[name][at] for at in noise})
        rest |= {f"{key}:{name}": value for key, value in fixes.items()}
        recipes[name] = [[at, *recipe] for at, recipe in noise.items()]
    write_npz(out / "tiny_checkpoint.npz", rest)
    return recipes


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An npz file, best compression, without dates: the same arrays always give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for key, array in arrays.items():
            entry = zipfile.ZipInfo(f"{key}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)


def write_json(path: Path, value: Mapping) -> None:
    """JSON with one line per second-level entry: diffs stay readable, files stay small."""
    blocks = []
    for key, inner in value.items():
        lines = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in inner.items()]
        blocks.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n")


def recorded_arrays(source: Path, name: str, meta: Mapping) -> dict[str, np.ndarray]:
    """A case's arrays as recorded, less those that are left out."""
    with np.load(source / meta["file"]) as stored:
        return {key: stored[key] for key in stored.files if not unneeded(name, key)}


def differences(source: Path) -> list[str]:
    """Names of cases and files that tests/golden does not give back bit for bit."""
    cases, _ = manifests(source)
    wrong = []
    for name, meta in cases.items():
        expected = golden_io.digest(recorded_arrays(source, name, meta))
        if golden_io.digest(golden_io.stored_arrays(name)) != expected:
            wrong.append(name)
    folder = source / "tiny_checkpoint"
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if (golden_io.checkpoint / path.relative_to(folder)).read_bytes() != path.read_bytes():
            wrong.append(path.relative_to(source).as_posix())
    return wrong


def manifests(source: Path) -> tuple[dict[str, dict], dict]:
    """What the recording says about every case, and about the recording itself."""
    modules, tiny = (
        json.loads((source / f"manifest_{name}.json").read_text()) for name in ("modules", "tiny")
    )
    return modules["cases"] | tiny["cases"], {
        "versions": modules["versions"],
        "tiny": tiny["config"],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="folder of the full recordings")
    source = parser.parse_args().source
    cases, about = manifests(source)
    sums, noise = {}, {}
    for name, meta in cases.items():
        arrays = recorded_arrays(source, name, meta)
        sums[name] = golden_io.digest(arrays)
        noise[name] = trim_case(arrays, name, meta, HERE)
    folder = source / "tiny_checkpoint"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    about["checkpoint sha256"] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    noise["tiny_checkpoint"] = trim_checkpoint(folder, files, HERE)
    left_out = {"arrays", "file", "bytes"}
    about["cases"] = {
        n: {k: v for k, v in meta.items() if k not in left_out} for n, meta in cases.items()
    }
    write_json(HERE / "cases.json", about | {"sha256": sums})
    write_json(HERE / "noise.json", noise)
    if wrong := differences(source):
        raise SystemExit(f"not as recorded: {', '.join(wrong)}")
    size = sum(path.stat().st_size for path in HERE.iterdir() if path.is_file())
    print(f"{len(cases)} cases and the checkpoint, bit for bit as recorded, in {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
