"""The long run: `python -m tests.fuzz` (all of docs/SECURITY.md's counts), or a piece of it.

Cases run in a process of their own, so that one that dies is a finding too and the next ones still run.
"""

import argparse
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


def main() -> int:
    """Runs what was asked for and prints a line per fuzzer; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="FUZZER", help=f"of {', '.join(ALL)}; default: all"
    )
    parser.add_argument("--start", type=int, default=0, help="number of the first case (0)")
    parser.add_argument("--count", type=int, help="cases; default: the full count of each fuzzer")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases (0)")
    parser.add_argument("--json", help="append a line of JSON per fuzzer to this file")
    parser.add_argument("--worker", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return _work(ALL[args.names[0]], Path(args.worker), args)
    found = 0
    for name in args.names or ALL:
        told = _run(ALL[name], args)
        found += len(told["findings"])
        print(_line(told), flush=True)
        if args.json:
            with open(args.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
    return int(found > 0)


def _run(fuzzer: Fuzzer, args: argparse.Namespace) -> dict[str, Any]:
    """All cases of one fuzzer, in as many workers as it takes."""
    count = fuzzer.count if args.count is None else args.count
    start, end, begin = args.start, args.start + count, time.perf_counter()
    total: dict[str, Any] = {"name": fuzzer.name, "accepted": 0, "refused": 0, "slowest": 0.0}
    total |= {"start": start, "count": count, "seed": args.seed, "findings": {}, "reasons": {}}
    while start < end:
        with tempfile.TemporaryDirectory(prefix="dynamicid_fuzz_") as folder:
            command = [sys.executable, "-m", "tests.fuzz", fuzzer.name, "--worker", folder]
            numbers = ["--start", str(start), "--count", str(end - start), "--seed", str(args.seed)]
            worker = subprocess.Popen([*command, *numbers], cwd=ROOT, env=_environment())
            reached = _watch(worker, Path(folder), fuzzer.name)
            told = _told(Path(folder))
        for key in ("accepted", "refused"):
            total[key] += told.get(key, 0)
        total["slowest"] = max(total["slowest"], told.get("slowest", 0.0))
        total["findings"] |= told.get("findings", {})
        for reason, times in told.get("reasons", {}).items():
            total["reasons"][reason] = total["reasons"].get(reason, 0) + times
        if told.get("done"):
            break
        if reached < start:
            raise SystemExit(f"error: {fuzzer.name}: its worker ended before the first case")
        total["findings"][str(reached)] = f"ended the process (code {worker.returncode})"
        start = reached + 1
    return {**total, "seconds": round(time.perf_counter() - begin, 1)}


def _environment() -> dict[str, str]:
    places = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    path = os.pathsep.join(places)
    return {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"}


def _watch(worker: subprocess.Popen, folder: Path, name: str) -> int:
    """Waits for a worker, with a word on stderr now and then; returns the case that it reached."""
    reached, since = -1, time.perf_counter()
    while True:
        try:
            worker.wait(timeout=5)
        except subprocess.TimeoutExpired:
            now = _reached(folder)
            if now != reached:
                reached, since = now, time.perf_counter()
            elif time.perf_counter() - since > STALL:
                worker.kill()
            print(f"{name}: case {now}", file=sys.stderr, end="\r", flush=True)
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


def _work(fuzzer: Fuzzer, folder: Path, args: argparse.Namespace) -> int:
    """Runs the cases in this process, and leaves behind what it knows before every one."""
    number = os.open(folder / "number", os.O_WRONLY | os.O_CREAT)
    cases = folder / "cases"
    cases.mkdir()
    tally = run_cases(
        fuzzer,
        cases,
        start=args.start,
        count=args.count,
        seed=args.seed,
        tell=lambda case: os.pwrite(number, f"{case}\n".encode(), 0),
    )
    told = {**vars(tally), "done": True, "reasons": dict(tally.reasons.most_common(20))}
    (folder / "tally.json").write_text(json.dumps(told))
    return 0


def _line(told: dict[str, Any]) -> str:
    found = [f"  case {number}: {text}" for number, text in list(told["findings"].items())[:5]]
    head = (
        f"{told['name']}: {told['count']:,} cases, {told['accepted']:,} read, {told['refused']:,} refused, "
        f"{len(told['findings'])} findings, slowest {told['slowest']:.2f} s, {told['seconds']:.0f} s in all"
    )
    return "\n".join([head, *found])


if __name__ == "__main__":
    sys.exit(main())
