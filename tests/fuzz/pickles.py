"""Damaged and hostile PyTorch files, read by the same code that the guarded child process runs.

PyTorch takes seconds to import, so it is imported once and every case is a fork of this process under the child's own
limits. What the child would answer its parent is turned into the parent's error, as in `convert.pickles`.
"""

import io
import os
import pickle
import resource
import signal
import sys
import zipfile
from pathlib import Path
from typing import Any

from dynamicid_jax.convert import pickle_child, pickles, tensors

from .guard import GUARD
from .harness import MAX_SECONDS, Case, Fuzzer
from .mutate import JUNK, Generator, mutate_bytes, pick

DID_MORE = 99  # exit code: the guard heard something
LIMIT = 256 << 20
HOSTILE = (
    *(
        "os system",
        "posix system",
        "builtins eval",
        "builtins exec",
        "builtins getattr",
        "builtins open",
    ),
    *(
        "subprocess Popen",
        "importlib import_module",
        "runpy run_path",
        "shutil rmtree",
        "socket create_connection",
    ),
    *(
        "torch load",
        "torch.hub load",
        "torch.jit load",
        "torch.serialization load",
        "numpy load",
        "pickle loads",
    ),
    *(
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "collections OrderedDict",
    ),
    *(
        "torch FloatStorage",
        "torch.storage UntypedStorage",
        "torch Tensor",
        "torch.nn.modules.linear Linear",
    ),
    *(
        "codecs encode",
        "operator methodcaller",
        "functools partial",
        "ctypes CDLL",
        "webbrowser open",
    ),
)
OPCODES = b"(.0123FGIJKLMNPQRSTUVX]abcdeghijlopqrstu)}\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x8d\x8e\x93\x94"


class Payload:
    """Calls something as soon as it is unpickled."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


def _seeds(folder: Path, marker: Path) -> list[bytes]:
    import torch

    values = torch.arange(12.0)
    plain = {
        "module": {"weight": values.reshape(3, 4), "bias": values[:3].half()},
        "n": torch.tensor(3),
    }
    contents = [
        plain,
        {"strided": values.as_strided((3, 2), (1, 4)), "same": values, "list": [values, values]},
        {"a": Payload(os.system, f"touch {marker}"), "b": values},
        {"a": [values, Payload(eval, f"open({str(marker)!r}, 'w')")]},
    ]
    made = []
    for content in contents:
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(content, stream, _use_new_zipfile_serialization=zipped)
            made.append(stream.getvalue())
    return [*made, pickle.dumps({"a": Payload(os.system, f"touch {marker}")})]


def _call(rng: Generator, marker: Path) -> bytes:
    """A pickle that calls something hostile with hostile arguments, by hand."""
    module, name = pick(rng, HOSTILE).split()
    argument = pick(rng, (f"touch {marker}", f"open({str(marker)!r}, 'w')", str(marker), "os"))
    start = bytes([0x80, pick(rng, (2, 2, 4))])
    call = f"c{module}\n{name}\n".encode()
    text = b"X" + len(argument.encode()).to_bytes(4, "little") + argument.encode()
    return (
        start
        + call
        + pick(rng, (text + b"\x85R", b")R", text + b"\x85\x81", b"(" + text + b"tR}b"))
        + b"."
    )


def _opcodes(rng: Generator) -> bytes:
    """Any instructions, most of them nonsense."""
    parts = [b"\x80\x02"]
    for _ in range(int(rng.integers(1, 60))):
        parts.append(bytes([pick(rng, OPCODES)]))
        if rng.random() < 0.3:
            parts.append(rng.bytes(int(rng.integers(1, 9))))
        if rng.random() < 0.05:
            parts.append(f"c{pick(rng, HOSTILE).replace(' ', chr(10))}\n".encode())
    return b"".join(parts) + b"."


def _rebuilt(rng: Generator) -> bytes:
    """A file whose tensors have sizes, strides and offsets that lie."""
    import torch

    class Lie:
        def __reduce__(self) -> tuple[Any, ...]:
            def few(count: int) -> tuple[Any, ...]:
                return tuple(pick(rng, (0, 1, 2, 3, -1, 2**40, 2**62, "x")) for _ in range(count))

            count = int(rng.integers(0, 4))
            storage = torch.arange(6.0).untyped_storage()
            typed = torch.storage.TypedStorage(
                wrap_storage=storage, dtype=torch.float32, _internal=True
            )
            rest = pick(rng, ((False, {}), (False, pick(rng, JUNK[:20])), (True, {}), ()))
            return torch._utils._rebuild_tensor_v2, (typed, *few(1), few(count), few(count), *rest)

    stream = io.BytesIO()
    torch.save({"a": Lie()}, stream, _use_new_zipfile_serialization=rng.random() < 0.7)
    return stream.getvalue()


def _rezipped(rng: Generator, data: bytes) -> bytes:
    """A zip with its members' contents or names changed, whole otherwise."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if rng.random() < 0.4:
                content = mutate_bytes(rng, content)
            if rng.random() < 0.05:
                name = pick(
                    rng, ("../../evil", "/tmp/evil", "archive/data.pkl", "archive/../x", "a" * 300)
                )
            new.writestr(name, content)
    return stream.getvalue()


def _prepare(folder: Path) -> Case:
    marker, source, target = folder / "executed", folder / "mutated.bin", folder / "out.safetensors"
    seeds = _seeds(folder, marker)
    zips = [seed for seed in seeds if seed.startswith(b"PK")]

    def made(rng: Generator) -> bytes:
        kind = int(rng.integers(6))
        if kind == 0:
            return _call(rng, marker)
        if kind == 1:
            return _opcodes(rng)
        if kind == 2:
            return _rebuilt(rng)
        if kind == 3:
            return _rezipped(rng, pick(rng, zips))
        return mutate_bytes(rng, pick(rng, seeds), seeds)

    def case(rng: Generator) -> None:
        source.write_bytes(made(rng))
        code, line = _in_child(source, target)
        assert not marker.exists(), "code in the file was run"
        assert code != DID_MORE, line
        assert code != -signal.SIGXCPU, "took too long"
        if code != pickle_child.DONE:
            raise pickles._error(source, code, line)
        for _ in tensors.open_file(target).read():
            pass
        target.unlink()

    return case


def _in_child(source: Path, target: Path) -> tuple[int, str]:
    """Exit code and last line of `pickle_child.main` in a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = 1
        try:
            seconds = int(MAX_SECONDS)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            code = pickle_child.main([str(source), str(target), str(LIMIT)])
            if GUARD.found:
                print(f"did: {GUARD.found[0]}")
                code = DID_MORE
            sys.stdout.flush()
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as stream:
        told = stream.read().decode(errors="replace")
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status), (told.strip().splitlines() or [""])[-1]


FUZZER = Fuzzer("pickles", 10_000, 40, _prepare)
