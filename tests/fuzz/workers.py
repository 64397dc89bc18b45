"""Cases in a process of their own, so that one that dies is a finding too and the next ones still run.

`python -m tests.fuzz.workers FUZZER FOLDER START COUNT SEED` is such a process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .fuzzers import ALL
from .harness import Fuzzer, run_cases

ROOT = Path(__file__).resolve().parents[2]
STALL = 120.0  # seconds without a new case: a hang that the process cannot tell of itself


def run_apart(fuzzer: Fuzzer, start: int, count: int, seed: int = 0) -> dict[str, Any]:
    """A `Tally` as a dict, with what was asked for and the seconds it took.

    Raises:
        RuntimeError: a worker ended before its first case.
    """
    end, begin, at = start + count, time.perf_counter(), start
    total: dict[str, Any] = {"name": fuzzer.name, "start": start, "count": count, "seed": seed}
    total |= {"accepted": 0, "refused": 0, "slowest": 0.0, "reasons": {}, "findings": {}}
    while at < end:
        with tempfile.TemporaryDirectory(prefix="dynamicid_fuzz_", dir=_memory()) as folder:
            command = [sys.executable, "-m", "tests.fuzz.workers", fuzzer.name, folder]
            numbers = [str(at), str(end - at), str(seed)]
            worker = subprocess.Popen([*command, *numbers], cwd=ROOT, env=_environment())
            reached = _watch(worker, Path(folder), fuzzer.name)
            told = _told(Path(folder))
        if reached < at:
            raise RuntimeError(f"{fuzzer.name}: its worker ended before case {at}")
        _add(total, told)
        if told:
            break
        total["findings"][str(reached)] = f"ended the process (code {worker.returncode})"
        at = reached + 1
    return {**total, "seconds": round(time.perf_counter() - begin, 1)}


def _memory() -> str | None:
    """A folder in memory, where the system has one: a million files do not wear a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _add(total: dict[str, Any], told: dict[str, Any]) -> None:
    for key in ("accepted", "refused"):
        total[key] += told.get(key, 0)
    total["slowest"] = max(total["slowest"], told.get("slowest", 0.0))
    total["findings"] |= told.get("findings", {})
    for reason, times in told.get("reasons", {}).items():
        total["reasons"][reason] = total["reasons"].get(reason, 0) + times


def _environment() -> dict[str, str]:
    places = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    path = os.pathsep.join(places)
    return {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}


def _watch(worker: subprocess.Popen, folder: Path, name: str) -> int:
    """Waits for a worker, with a word on a terminal now and then; returns the case that it reached."""
    reached, since = -1, time.perf_counter()
    while worker.poll() is None:
        now = _reached(folder)
        if now != reached:
            reached, since = now, time.perf_counter()
        elif time.perf_counter() - since > STALL:
            worker.kill()
        if sys.stderr.isatty():
            print(f"{name}: case {now}", file=sys.stderr, end="\r", flush=True)
        try:
            worker.wait(timeout=2)
        except subprocess.TimeoutExpired:
            continue
    return _reached(folder)


def _reached(folder: Path) -> int:
    try:
        return int((folder / "number").read_text().split()[0])
    except (OSError, IndexError):
        return -1


def _told(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "tally.json").read_text())
    except (OSError, ValueError):
        return {}


def main(arguments: list[str]) -> int:
    """Runs cases in this process, and leaves behind the number of every one before it starts."""
    name, folder = arguments[0], Path(arguments[1])
    start, count, seed = map(int, arguments[2:])
    number = os.open(folder / "number", os.O_WRONLY | os.O_CREAT)
    cases = folder / "cases"
    cases.mkdir()

    def tell(case: int) -> None:
        os.pwrite(number, f"{case}\n".encode(), 0)

    tally = run_cases(ALL[name], cases, start=start, count=count, seed=seed, tell=tell)
    told = {**vars(tally), "reasons": dict(tally.reasons.most_common(20))}
    (folder / "tally.json").write_text(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
