"""A process that holds cases and answers requests, one line each, on stdin with lines of JSON; `run.py` starts it.

load            loads what the cases share
build           compiles them and runs each once: {"built": names, "missing": {name: why}}
run NAME        {"value": ...}, or {"missing": {name: why}}
peak            {"peak_gb": peak memory of this process so far}
count           {"tflop": {name: ...}, "about": the device, and the rate that shares are told of}
end
"""

import contextlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cases import Case, Suite
from suites import SUITES

GIGA = 1e9


def main() -> int:
    """SUITE WORKER NAME [NAME ...]: answers until told to end."""
    suite, name, *names = sys.argv[1:]
    made = SUITES[suite]()
    process = Process(made, name, [case for case in made.cases if case.name in names])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    for line in sys.stdin:
        if line.strip() == "end":
            break
        print(json.dumps(process.answer(line.strip())), file=answers, flush=True)
    return 0


class Process:
    """What a worker knows and holds."""

    def __init__(self, suite: Suite, name: str, cases: list[Case]) -> None:
        self.suite, self.name, self.cases = suite, name, cases
        self.loaded: Any = None
        self.built: dict[str, Any] = {}
        self.missing: dict[str, str] = {}

    def answer(self, request: str) -> dict[str, Any]:
        """One answer; {} where the request failed."""
        word, _, rest = request.partition(" ")
        if word == "load":
            self.load()
        elif word == "build":
            self.build()
            return {"built": list(self.built), "missing": self.missing}
        elif word == "run":
            with self.told(rest):
                return {"value": self.built[rest]()}
            return {"missing": {rest: self.missing[rest]}}
        elif word == "peak":
            return {"peak_gb": peak_gb()}
        elif word == "count":
            return {"tflop": self.count()}
        elif word == "about":
            return about()
        return {}

    def load(self) -> None:
        """What all cases share."""
        with self.told(*[case.name for case in self.cases]):
            self.loaded = self.suite.load[self.name]()

    def build(self) -> None:
        """Compiles and warms up; what could not be built is left out, with the reason."""

        def one(case: Case) -> None:
            if case.name not in self.missing:
                with self.told(case.name):
                    self.built[case.name] = case.build(self.loaded)

        with ThreadPoolExecutor(self.suite.threads) as pool:
            list(pool.map(one, self.cases))
        for case in self.cases:
            timed = self.built.pop(case.name, None)
            if timed is not None:
                with self.told(case.name):
                    timed()  # warms up, one after the other: together they might not fit
                    self.built[case.name] = timed

    def count(self) -> dict[str, float]:
        """Operations of each row's value, in 10^12; nothing is computed."""
        counts = {}
        for case in self.cases:
            if case.tflop is not None:
                with self.told(case.name):
                    counts[case.name] = case.tflop()
        return counts

    @contextlib.contextmanager
    def told(self, *names: str) -> Iterator[None]:
        """Rows that fail stay empty; the others go on."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, ImportError):
                traceback.print_exc()
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            why = f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
            self.missing |= dict.fromkeys(names, why)


def about() -> dict[str, Any]:
    """The device, and the rate that shares are told of."""
    import jax
    import ours

    from dynamicid_jax.training.devices import of

    device = jax.devices()[0]
    if (known := of(device)) is not None:
        peak, what = known.peak_flops / 1e12, f"the peak of {known.name} in bfloat16"
    else:
        peak, what = ours.matrix_rate(), "one 4096 x 4096 float32 matrix product in the same run"
    return {"device": device.device_kind, "peak": peak, "peak_of": what}


def peak_gb() -> float:
    """Peak memory of this process: of the GPU where there is one, else resident."""
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / GIGA)
    if "torch" not in sys.modules and (jax := sys.modules.get("jax")) is not None:
        used = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
        if used:
            return float(used / GIGA)
    return resident_peak_gb()


def resident_peak_gb() -> float:
    """Peak resident memory; by the kernel's count for this program, since `ru_maxrss` begins with its parent's."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / GIGA
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIGA


if __name__ == "__main__":
    raise SystemExit(main())
