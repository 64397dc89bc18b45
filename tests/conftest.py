"""Settings of every test run: 8 fake CPU devices, strict JAX, no network, one compilation cache.

They are environment variables, set before JAX is imported, so that commands started by a test as
processes of their own run under them too. Array shapes are checked by jaxtyping's own pytest
option, and warnings from our modules are errors (both in pyproject.toml).
"""

import hashlib
import ipaddress
import os
import platform
import random
import socket
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # assets that are never committed, where a machine has them
DEVICES = 8
PROGRAMS_MAY_TAKE = 3 * 2**30  # bytes of a test process; whole runs would come to 8 GB in each


def _machine() -> str:
    """A name for this kind of machine: compiled programs hold its instructions."""
    cpu = Path("/proc/cpuinfo")
    flags = (
        [line for line in cpu.read_text().splitlines() if "flags" in line] if cpu.exists() else []
    )
    kind = "".join([platform.platform(), platform.processor(), *flags[:1]])
    return hashlib.sha256(kind.encode()).hexdigest()[:12]


COMPILED = ROOT / ".pytest_cache" / "xla" / _machine()

if "jax" in sys.modules:
    raise RuntimeError("jax was imported before tests/conftest.py could set the test devices")
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} "
    f"--xla_force_host_platform_device_count={DEVICES} "
    # Tests compile far more than they compute: without LLVM's passes a training step compiles in half the time.
    "--xla_backend_optimization_level=0 "
    # Devices are threads here: on busy cores one may keep the others waiting for more than the usual 40 seconds.
    "--xla_cpu_collective_call_terminate_timeout_seconds=600",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_COMPILATION_CACHE_DIR": str(COMPILED),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands cache is made anew in every run; only compiled programs outlive it."""
    folder = tmp_path_factory.mktemp("cache")
    COMPILED.mkdir(parents=True, exist_ok=True)
    (folder / "xla").symlink_to(COMPILED, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNAMICID_CACHE", str(folder))
        yield


@pytest.fixture(scope="module", autouse=True)
def _programs_leave_memory() -> Iterator[None]:
    """Lets compiled programs go between modules once they fill memory; the cache on disk still has them."""
    yield
    jax = sys.modules.get("jax")
    statistics = Path("/proc/self/statm")
    if jax is None or not statistics.exists():
        return
    resident = int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if resident > PROGRAMS_MAY_TAKE:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)


def _is_local(address: Any) -> bool:
    """Whether an address stays on this machine."""
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Connecting to another machine, or asking for its address, fails the test that does it."""

    def guard(name: str, real: Any, target: Any) -> Any:
        def guarded(*args: Any, **more: Any) -> Any:
            if (address := target(args)) is not None and not _is_local(address):
                # not an Exception: code under test cannot swallow it
                pytest.fail(f"tests run without network, but this one asked {name} for {address!r}")
            return real(*args, **more)

        return guarded

    def of_socket(args: Any) -> Any:
        return args[1] if args[0].family in (socket.AF_INET, socket.AF_INET6) else None

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            real = getattr(socket.socket, name)
            patch.setattr(socket.socket, name, guard(f"socket.{name}", real, of_socket))
        lookup = guard("socket.getaddrinfo", socket.getaddrinfo, lambda args: args[0])
        patch.setattr(socket, "getaddrinfo", lookup)
        yield


@pytest.fixture(scope="session")
def golden() -> types.ModuleType:
    """The reader of the recorded numbers (tests/golden_io.py)."""
    import golden_io

    return golden_io


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Path:
    """A checkpoint in the published layout, tiny and with random weights; copy it to change it."""
    import golden_io

    return golden_io.checkpoint


def _assets(variable: str, folder: str, what: str) -> Path:
    path = Path(os.environ.get(variable) or SHARED / folder)
    if not path.is_dir():
        pytest.skip(f"{what} not found at {path}; {variable} can name their folder")
    return path


@pytest.fixture(scope="session")
def real_assets() -> Path:
    """Real face networks and photographs, which the project does not ship; skips without them."""
    return _assets("DYNAMICID_REAL_ASSETS", "real", "real networks and photographs")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The untrimmed recordings that tests/golden was made from; skips without them."""
    return _assets("DYNAMICID_RECORDINGS", "golden", "full recordings")
