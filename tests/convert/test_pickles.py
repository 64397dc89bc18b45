"""PyTorch files: read through the child process, and never run."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynamicid_jax import cache
from dynamicid_jax.convert import pickle_child, pickles
from dynamicid_jax.convert.tensors import open_any
from dynamicid_jax.errors import MissingPartError, WeightsError

torch = pytest.importorskip("torch", reason="PyTorch (extra `convert`) reads .bin files")


class Payload:
    """Makes a file as soon as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))


def refuse(path: Path, match: str) -> str:
    with pytest.raises(WeightsError, match=match) as caught:
        open_any(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500
    assert not list(path.parent.rglob("*.partial"))
    return message


def test_the_payload_would_run(marker: Path) -> None:
    """Otherwise the tests below could not fail."""
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["top", "entry", "nested", "beside tensors"])
def test_code_in_a_pickle_is_refused_and_never_run(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch, where: str, zipped: bool
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    payload = Payload(marker)
    content = {
        "top": payload,
        "entry": {"a": payload},
        "nested": {"SAA_module": {"0": {"weight": payload}}},
        "beside tensors": {"a": torch.ones(3), "b": [torch.ones(2), payload]},
    }[where]
    path = tmp_path / "SAA.bin"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    message = refuse(path, "holds code or objects")
    assert "system" in message
    assert not marker.exists()


def test_a_plain_pickle_is_refused_and_never_run(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "IMR.bin"
    path.write_bytes(pickle.dumps({"weight": Payload(marker)}))
    refuse(path, "refused")
    assert not marker.exists()


def test_the_child_itself_runs_nothing(tmp_path: Path, marker: Path) -> None:
    """Not only because its parent tells PyTorch so by a variable."""
    path = tmp_path / "SAA.bin"
    torch.save({"a": Payload(marker)}, path)
    environment = pickles._environment()
    del environment["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
    command = [sys.executable, "-m", "dynamicid_jax.convert.pickle_child"]
    arguments = [str(path), str(tmp_path / "out.safetensors"), str(1 << 30)]
    result = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
    assert result.returncode == pickle_child.REFUSED
    assert "system" in result.stdout
    assert not marker.exists()
    assert not (tmp_path / "out.safetensors").exists()


def zip_of(member: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(member, content)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"no checkpoint at all\n",
        b"\x80",
        b"PK\x03\x04",
        os.urandom(1000),
        zip_of("a/b.txt", b"hello"),
    ],
    ids=["text", "one byte", "head of a zip", "noise", "another zip"],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "SAA.bin"
    path.write_bytes(content)
    refuse(path, "refused")


def test_an_empty_and_a_truncated_file(tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = tmp_path / "IMR.bin"
    path.write_bytes(b"")
    refuse(path, "the file is empty")
    whole = (tiny_checkpoint / "IMR.bin").read_bytes()
    for size in (100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        refuse(path, "refused")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        open_any(tmp_path / "SAA.bin")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"epoch": 3}, "'epoch' is a int"),
        ({"a": torch.ones(1), "b": {"c": None}}, "'b.c' is a NoneType"),
        ({}, "no tensors"),
        ([], "no tensors"),
        ({"a": {"b": torch.ones(1)}, "a.b": torch.ones(1)}, "two of its tensors"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "kind that is not supported"),
        ({"a": torch.ones(2, 2).to_sparse()}, "kind that is not supported"),
    ],
)
def test_checkpoints_of_other_things(tmp_path: Path, content: Any, match: str) -> None:
    path = tmp_path / "SAA.bin"
    torch.save(content, path)
    refuse(path, match)


def test_a_dict_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["a"] = content
    path = tmp_path / "SAA.bin"
    torch.save(content, path)
    refuse(path, "expected only tensors")


def test_strides_that_expand_without_end(tmp_path: Path) -> None:
    """A small file of 4 TB: one number seen through strides of zero."""
    path = tmp_path / "key_point_encoder.bin"
    torch.save({"a": torch.zeros(1).expand(1_000_000, 1_000_000)}, path)
    assert path.stat().st_size < 10_000
    refuse(path, "expand to 4,000,000,000,000 bytes")


def test_a_zip_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "BASE_BYTES", 10 << 20)
    plain, path = tmp_path / "plain.bin", tmp_path / "SAA.bin"
    torch.save({"a": torch.zeros(5_000_000)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert path.stat().st_size < 100_000
    refuse(path, "unpacks to 20,")


def test_it_may_not_take_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "BASE_SECONDS", 0)
    path = tmp_path / "SAA.bin"
    torch.save({"a": torch.ones(1)}, path)
    refuse(path, "took too long")


def test_memory_is_limited(tmp_path: Path) -> None:
    """Under the cap on memory that can be written, a child that asks for more gets an error."""
    code = (
        "import sys; from dynamicid_jax.convert import pickle_child as child\n"
        "child._limit_memory(1 << 20)\n"
        "try: bytearray(child.TORCH_ALLOWANCE + (64 << 20))\n"
        "except MemoryError: sys.exit(7)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=pickles._environment())
    if result.returncode != 7:
        pytest.skip("this system does not limit a process's memory")


def test_strided_views_nested_dicts_and_kinds(tmp_path: Path) -> None:
    values = torch.arange(20, dtype=torch.float32)
    content = {
        "module": {"0.up.weight": values.as_strided((3, 4), (2, 3)), "list": [torch.ones(2)]},
        "transposed": values.reshape(4, 5).T,
        "half": values.to(torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }
    path = tmp_path / "SAA.bin"
    torch.save(content, path)
    tensors = open_any(path)
    arrays = dict(tensors.read())
    assert arrays.keys() == {
        "module.0.up.weight", "module.list.0", "transposed", "half", "count", "empty"
    }  # fmt: skip
    steps = 2 * np.arange(3)[:, None] + 3 * np.arange(4)[None]
    assert np.array_equal(arrays["module.0.up.weight"], steps)
    assert np.array_equal(arrays["transposed"], np.arange(20).reshape(4, 5).T)
    assert tensors.entries["half"].dtype == "BF16"
    assert np.array_equal(arrays["half"].astype(np.float32), np.arange(20))
    assert (arrays["count"].shape, int(arrays["count"])) == ((), 7)
    assert arrays["empty"].shape == (0, 3)


def test_a_file_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "SAA.bin"
    torch.save({"a": torch.ones(3)}, path)
    first = open_any(path)

    def fail(*args: Any) -> None:
        raise AssertionError("the child was started again")

    with monkeypatch.context() as patch:
        patch.setattr(pickles, "_run_child", fail)
        assert open_any(path).files == first.files
        copy = tmp_path / "other name.pt"
        copy.write_bytes(path.read_bytes())
        assert open_any(copy).files == first.files
    torch.save({"a": torch.zeros(3)}, path)
    assert np.array_equal(dict(open_any(path).read())["a"], np.zeros(3))


def test_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder takes its place, and goes with the last user."""
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(blocked / "cache"))
    path = tmp_path / "SAA.bin"
    torch.save({"a": torch.ones(3)}, path)
    tensors = open_any(path)
    (file,) = tensors.files
    assert np.array_equal(dict(tensors.read())["a"], np.ones(3))
    assert file.exists()
    tensors.holder.cleanup()
    assert not file.exists()


@pytest.mark.parametrize(
    ("fake", "match"),
    [
        ("raise ImportError('no torch here')", r"PyTorch is missing; pip install .*\[convert\]"),
        ("__version__ = '2.5.1+cu121'", "PyTorch 2.5.1.cu121 is too old to read it safely"),
    ],
)
def test_pytorch_missing_or_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: str, match: str
) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/torch.py").write_text(fake)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    path = tmp_path / "SAA.bin"
    torch.save({"a": torch.ones(3)}, path)
    with pytest.raises(MissingPartError, match=match):
        open_any(path)


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("2.6.0", True),
        ("2.13.0+cpu", True),
        ("10.0", True),
        ("2.5.1", False),
        ("1.13.1", False),
        ("", False),
    ],
)
def test_versions(version: str, enough: bool) -> None:
    assert pickle_child.recent_enough(version) == enough
