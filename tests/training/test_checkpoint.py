"""Checkpoints: what is saved comes back bit by bit, onto any devices, and damage of any kind is found."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from fake_bucket import fake_bucket
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dynamicid_jax.errors import InputError, OutputError, WeightsError
from dynamicid_jax.training import seal
from dynamicid_jax.training.checkpoint import Checkpoints

DTYPES = ("float32", "bfloat16", "float16", "int32", "int8", "uint8", "uint32", "bool", "complex64")


def random_leaf(draw: random.Random) -> Any:
    kind = draw.randrange(8)
    if kind == 0:
        return jax.random.key(draw.randrange(99), impl=draw.choice(["threefry2x32", "rbg"]))
    if kind == 1:
        return jax.random.split(jax.random.key(draw.randrange(99)), 3)
    if kind == 2:
        return draw.choice([True, 7, 0.1, None])
    shape = tuple(draw.randrange(4) for _ in range(draw.randrange(4)))
    bits = np.random.default_rng(draw.randrange(999)).integers(0, 256, (*shape, 16), np.uint8)
    dtype = jnp.dtype(draw.choice(DTYPES))
    if dtype.kind == "b":
        return bits[..., 0] > 99
    # any bit pattern: NaNs with a payload and subnormals have to come back as well
    array = bits[..., : dtype.itemsize].copy().view(dtype)[..., 0]
    return array if kind < 5 else jnp.asarray(array)


def random_tree(draw: random.Random, depth: int = 3) -> Any:
    """Dicts, lists, tuples and None; leaves of all dtypes, empty ones and keys."""
    if depth == 0 or draw.random() < 0.2:
        return random_leaf(draw)
    kids = [random_tree(draw, depth - 1) for _ in range(draw.randrange(1, 4))]
    kind = draw.randrange(3)
    return {f"k{i}": k for i, k in enumerate(kids)} if kind == 0 else (list, tuple)[kind - 1](kids)


def assert_same(one: Any, other: Any) -> None:
    def leaf(a: Any, b: Any) -> None:
        assert type(a) is type(b) or (isinstance(a, jax.Array) and isinstance(b, jax.Array))
        if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            assert a.dtype == b.dtype
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())

    jax.tree.map(leaf, one, other)


@pytest.mark.parametrize("seed", range(12))
def test_random_trees_return_bit_by_bit(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    state = {"x": jnp.arange(3), "tree": random_tree(draw)}
    extra = {"seed": seed, "text": "é", "list": [1, [2.5, None]]}
    saver = Checkpoints(tmp_path / "c")
    assert saver.save(seed, state, extra)
    saver.close()
    restored = Checkpoints(tmp_path / "c").restore(jax.tree.map(lambda leaf: leaf, state))
    assert restored is not None
    assert (restored.step, restored.extra, restored.skipped) == (seed, extra, [])
    assert_same(restored.state, state)


def test_plain_arrays_keep_their_dtypes(tmp_path: Path) -> None:
    values = np.arange(-3, 3)
    state = {"a": {name: jnp.asarray(values, name) for name in DTYPES}, "key": jax.random.key(1)}
    saver = Checkpoints(tmp_path)
    saver.save(1, state, {})
    restored = saver.restore()
    saver.close()
    assert restored is not None
    assert_same(restored.state["a"], jax.tree.map(np.asarray, state["a"]))
    assert_same(restored.state["key"], np.asarray(jax.random.key_data(state["key"])))


def small_state(value: float = 1.0) -> dict[str, Any]:
    return {
        "weights": {"a": jnp.full((64, 8), value, jnp.float32), "b": np.arange(5)},
        "key": jax.random.key(3),
    }


def save_steps(folder: Path, *steps: int, keep: int = 3) -> None:
    saver = Checkpoints(folder, keep)
    for step in steps:
        saver.save(step, small_state(step), {"step": step})
    saver.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of steps 1, 2 and 3; copy them to change them."""
    folder = tmp_path_factory.mktemp("three")
    save_steps(folder, 1, 2, 3)
    return folder


def truncate(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def flip(path: Path, draw: random.Random) -> None:
    text = bytearray(path.read_bytes())
    text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
    path.write_bytes(text)


def delete(path: Path, draw: random.Random) -> None:
    path.unlink()


def empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def grow(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGES = (truncate, flip, flip, flip, delete, empty, grow)


def test_damage_to_any_file_is_found(three: Path) -> None:
    folder, draw = epath.Path(three / "3"), random.Random(0)
    files = [path for path in sorted((three / "3").rglob("*")) if path.is_file()]
    assert len(files) > 6
    assert seal.damage(folder) is None
    for path in files:
        before = path.read_bytes()
        for damage in DAMAGES:
            if before or damage is grow or damage is delete:
                damage(path, draw)
                why = seal.damage(folder)
                assert why is not None, (path, damage)
                assert path.name in why or path.name == "seal.json"
                path.write_bytes(before)
    assert seal.damage(folder) is None


@pytest.mark.parametrize("damage", DAMAGES[2:])
def test_damaged_newest_falls_back_and_says_so(three: Path, tmp_path: Path, damage: Any) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three, folder)
    largest = max(
        (folder / "3/state").rglob("*"), key=lambda path: path.is_file() * path.stat().st_size
    )
    damage(largest, random.Random(1))
    restored = Checkpoints(folder).restore(small_state())
    assert restored is not None
    assert restored.step == restored.extra["step"] == 2
    assert_same(restored.state, small_state(2))
    [(step, why)] = restored.skipped
    assert step == 3
    assert largest.name in why


def test_a_run_that_fell_back_replaces_the_damaged_step(three: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three, folder)
    for step in ("2", "3"):
        flip(folder / step / "seal.json", random.Random(2))
    saver = Checkpoints(folder)
    restored = saver.restore(small_state())
    assert restored is not None
    assert restored.step == 1
    saver.save(2, small_state(22), {"step": 2})
    saver.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        "1",
        "2",
    ]  # the damaged 3 is gone, too
    again = Checkpoints(folder).restore(small_state())
    assert again is not None
    assert again.skipped == []
    assert_same(again.state, small_state(22))


def test_killed_between_commit_and_seal(three: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three, folder)
    (folder / "3/seal.json").rename(folder / "3/seal.json.part")
    saver = Checkpoints(folder)
    assert saver.latest() == 2
    restored = saver.restore(small_state())
    assert restored is not None
    assert (restored.step, restored.skipped) == (2, [(3, seal.UNSEALED)])


def test_killed_during_the_first_save_is_a_fresh_start(
    three: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1.orbax-checkpoint-tmp/state").mkdir(parents=True)
    saver = Checkpoints(tmp_path)
    assert saver.restore(small_state()) is None
    assert saver.latest() is None
    shutil.copytree(three / "1", tmp_path / "1")
    (tmp_path / "1/seal.json").unlink()
    assert saver.restore(small_state()) is None
    assert seal.UNSEALED in caplog.text
    saver.save(1, small_state(), {})
    saver.close()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_all_damaged_is_an_error_and_nothing_is_deleted(three: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(three, folder)
    for step in "123":
        empty(folder / step / "_CHECKPOINT_METADATA", random.Random())
    with pytest.raises(
        WeightsError, match=r"none of the checkpoints is intact .*_CHECKPOINT_METADATA"
    ):
        Checkpoints(folder).restore(small_state())
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("keep", [1, 2])
def test_keeps_the_newest(tmp_path: Path, keep: int) -> None:
    save_steps(tmp_path, 5, 10, 15, keep=keep)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [5, 10, 15][-keep:]
    assert Checkpoints(tmp_path).latest() == 15


def test_state_may_be_donated_or_changed_at_once(tmp_path: Path) -> None:
    advance = jax.jit(lambda x: x + 1, donate_argnums=0)
    saver = Checkpoints(tmp_path, keep=9)
    x, counter = jnp.zeros((512, 512)), np.zeros(1000)
    for step in range(1, 5):
        x, counter[:] = advance(x), step
        saver.save(step, {"x": x, "counter": counter}, {})
        for _ in range(3):
            x = advance(x)
        x = x - 3
    saver.wait()
    for step in range(1, 5):
        restored = Checkpoints(tmp_path, keep=9).restore() if step == 4 else None
        path = tmp_path / str(step)
        assert seal.damage(epath.Path(path)) is None
        if restored is not None:
            assert (restored.state["x"] == 4).all()
            assert (restored.state["counter"] == 4).all()
        else:
            shutil.copytree(path, tmp_path / f"copy/{step}/{step}")
            copy = Checkpoints(tmp_path / f"copy/{step}").restore()
            assert copy is not None
            assert (copy.state["x"] == step).all()
            assert (copy.state["counter"] == step).all()


def test_opens_onto_other_devices_and_shardings(tmp_path: Path) -> None:
    def spread(count: int, *spec: str | None) -> NamedSharding:
        return NamedSharding(Mesh(np.array(jax.devices()[:count]), ("d",)), PartitionSpec(*spec))

    values = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    keys = jax.random.split(jax.random.key(1), 8)
    state = {"w": jax.device_put(values, spread(8, "d")), "k": jax.device_put(keys, spread(8, "d"))}
    saver = Checkpoints(tmp_path)
    saver.save(1, state, {})
    for count, spec in [(1, ()), (2, ("d",)), (4, (None, "d")), (8, ())]:
        w = jax.ShapeDtypeStruct((16, 8), jnp.float32, sharding=spread(count, *spec))
        k = jax.ShapeDtypeStruct((8,), keys.dtype, sharding=spread(count, *spec[:1]))
        restored = saver.restore({"w": w, "k": k})
        assert restored is not None
        assert restored.state["w"].sharding == w.sharding
        assert restored.state["k"].sharding.is_equivalent_to(k.sharding, 1)
        assert_same(restored.state, state)
    plain = saver.restore(jax.eval_shape(lambda: {"w": jnp.zeros((16, 8)), "k": keys}))
    assert plain is not None
    assert_same(plain.state, state)
    saver.close()


def test_another_model_is_named(three: Path) -> None:
    other = small_state()
    other["weights"] = {"a": jnp.zeros((64, 9)), "c": jnp.zeros(2)}
    with pytest.raises(
        WeightsError,
        match=r"lacks weights/c; .*unknown weights/b; .*weights/a as float32\[64, 8\] instead of float32\[64, 9\]",
    ):
        Checkpoints(three).restore(other)


def test_same_step_twice_is_saved_once(tmp_path: Path) -> None:
    saver = Checkpoints(tmp_path)
    assert saver.save(4, small_state(), {})
    assert not saver.save(4, small_state(), {})
    saver.close()
    resumed = Checkpoints(tmp_path)
    resumed.restore(small_state())
    assert not resumed.save(4, small_state(), {})


def test_failed_write_is_told_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(seal, "write_seal", full)
    saver = Checkpoints(tmp_path)
    saver.save(1, small_state(), {})
    with pytest.raises(OutputError, match=r"/1: the checkpoint cannot be written: No space left"):
        saver.save(2, small_state(), {})
    assert Checkpoints(tmp_path).restore(small_state()) is None


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Checkpoints(tmp_path / "c/d").save(1, small_state(), {})


def test_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "gs://bucket/run/checkpoints"
    with fake_bucket(monkeypatch) as bucket:
        assert Checkpoints(folder).restore(small_state()) is None
        for step in (1, 2, 3):
            saver = Checkpoints(folder, keep=2)
            saver.save(step, small_state(step), {"step": step})
            saver.close()
        assert {key.split("/")[4] for key in bucket.store} == {"2", "3"}
        restored = Checkpoints(folder).restore(small_state())
        assert restored is not None
        assert_same(restored.state, small_state(3))
        bucket.store.pop("/bucket/run/checkpoints/3/seal.json")  # killed before the seal
        saver = Checkpoints(folder)
        restored = saver.restore(small_state())
        assert restored is not None
        assert (restored.extra, restored.skipped) == ({"step": 2}, [(3, seal.UNSEALED)])
        saver.save(3, small_state(33), {"step": 3})
        saver.close()
        bucket.pipe_file("/bucket/run/checkpoints/2/state/_METADATA", b"")
        restored = Checkpoints(folder).restore(small_state())
        assert restored is not None
        assert_same(restored.state, small_state(33))


def test_other_schemes_are_refused() -> None:
    with pytest.raises(InputError, match=r"local folders, gs:// and s3://, not ftp://"):
        Checkpoints("ftp://host/run")


def test_seal_is_readable_json(three: Path) -> None:
    _, body = (three / "3/seal.json").read_text().splitlines()
    files = json.loads(body)["files"]
    assert {"_CHECKPOINT_METADATA", "extra/metadata"} <= set(files)
