"""Measures a suite and writes its tables into docs/PERFORMANCE.md.

    python benchmarks/run.py cpu                 SD1.5 size on a CPU beside diffusers; idle cores, 17 GB, 30 minutes
    python benchmarks/run.py cpu_more            torch.compile, SD1.5's loading and compiling, other samplers; 13 GB
    python benchmarks/run.py gpu --minutes 9     every GPU row in one run
    python benchmarks/run.py small               a rehearsal in a few minutes; also small_more, small_gpu
    python benchmarks/run.py cpu --only step --only published    some workers, or rows by a part of their name
    python benchmarks/run.py --show results.json --docs docs/PERFORMANCE.md     tables of an earlier run

Every row is the median of at least 5 repetitions, with the lowest and the highest. Rows that are compared take turns,
each in a process of its own (`--one_at_a_time` where they do not fit in memory together). Peak memory is measured last,
every case alone in a new process. Rows that need torch and diffusers stay empty where these are not installed, and so
do rows that no time was left for.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import rows
from cases import Case, Suite, chosen
from suites import SUITES

WORKER = Path(__file__).with_name("worker.py")
NOT_CACHED = {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def main() -> int:
    """Runs, prints and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", nargs="?", choices=SUITES, help="which rows")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="a worker's name, or else a part of rows' names; repeat for more",
    )
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of a row (5)")
    parser.add_argument(
        "--steps",
        type=int,
        default=2,
        help="guided steps per repetition of a guided step's row (2)",
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="end after so long with what there is"
    )
    parser.add_argument("--one_at_a_time", action="store_true", help="no two workers at once")
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"), help="results as JSON")
    parser.add_argument("--docs", type=Path, help="a document to write the tables into")
    parser.add_argument("--show", type=Path, help="results of an earlier run, instead of a new one")
    args = parser.parse_args()
    if args.show:
        results = rows.Results.load(args.show)
    elif args.suite:
        with tempfile.TemporaryDirectory() as cache:
            results = Run(args, SUITES[args.suite](), cache).results()
        results.save(args.out)
    else:
        parser.error("expected a suite, or --show")
    print(rows.tables(results))
    if args.docs:
        rows.write_into(args.docs, results)
    return 0


class Worker:
    """A process that holds some cases and runs them when it is told to (worker.py)."""

    def __init__(self, suite: str, name: str, cases: Iterable[Case], more: dict[str, str]) -> None:
        command = [sys.executable, str(WORKER), suite, name, *[case.name for case in cases]]
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **more},
        )

    def ask(self, request: str) -> dict[str, Any]:
        """One request, one answer; {} where the process is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return {}
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                return json.loads(line)
        return {}

    def close(self) -> None:
        """Ends the process."""
        self.ask("end")
        self._process.wait()

    def kill(self) -> None:
        """Ends it at once: whoever waits for an answer gets an empty one."""
        self._process.kill()


class Run:
    """One run of a suite: every method fills in more of the rows."""

    def __init__(self, args: argparse.Namespace, suite: Suite, cache: str) -> None:
        self.args, self.suite = args, suite
        self.cases = chosen(suite, tuple(args.only))
        if not self.cases:
            known = ", ".join(suite.load)
            raise SystemExit(
                f"--only: expected one of the workers {known}, or a part of a row's name; got {args.only}"
            )
        self.made = {
            case.name: rows.Row(case.group, case.name, case.unit, per=case.per)
            for case in self.cases
        }
        self.missing: dict[str, str] = {}
        self._environment = {
            **dict(suite.environment),
            "GUIDED_STEPS": str(args.steps),
            "JAX_COMPILATION_CACHE_DIR": cache,
        }
        self._alive: set[Worker] = set()
        self._lock = threading.Lock()
        self._over = False

    def results(self) -> rows.Results:
        """All chosen cases."""
        begin = time.monotonic()
        clock = threading.Timer(60 * self.args.minutes, self._out_of_time)
        clock.daemon = True
        clock.start()
        about = self._about()
        self._count()
        for names in self._turns():
            self._take_turns([case for case in self.cases if case.worker in names])
        for names in self._turns():
            self._memory([case for case in self.cases if case.worker in names and case.memory])
        if not self.suite.at_once:
            # A CPU's rate is measured: the larger of two, since one that was busy for a moment is not slower.
            about = max(self._about(), about, key=lambda one: one.get("peak", 0))
        clock.cancel()
        _say(f"took {(time.monotonic() - begin) / 60:.1f} minutes")
        return rows.Results(
            self.suite.name,
            list(self.made.values()),
            about.get("peak"),
            about.get("peak_of", ""),
            rows.machine(about.get("device", "no device")),
            rows.versions(),
            rows.today(),
            self._notes(),
        )

    def _turns(self) -> Sequence[tuple[str, ...]]:
        if self.args.one_at_a_time:
            return [(one,) for some in self.suite.order for one in some]
        return self.suite.order

    def _about(self) -> dict[str, Any]:
        """The machine."""
        return self._with(self.cases[0].worker, (), lambda worker: worker.ask("about"))

    def _count(self) -> None:
        """Arithmetic of all rows: before anything is measured, so that it is there whenever time ends."""
        found = self._with(self.cases[0].worker, self.cases, lambda worker: worker.ask("count"))
        for name, tflop in found.get("tflop", {}).items():
            self.made[name] = replace(self.made[name], tflop=tflop)

    def _take_turns(self, cases: Sequence[Case]) -> None:
        """Workers that live at the same time: each builds its cases, then every round runs each case once."""
        names = list(dict.fromkeys(case.worker for case in cases))
        workers = {
            name: worker
            for name in names
            if (worker := self._start(name, [case for case in cases if case.worker == name]))
        }
        built: set[str] = set()
        with ThreadPoolExecutor(len(workers) or 1 if self.suite.at_once else 1) as pool:
            for some in pool.map(self._build, workers.values()):
                built.update(some)
        ready = [case for case in cases if case.name in built]
        for turn in range(self.args.repeats if ready else 0):
            for case in ready:
                row = self.made[case.name]
                if len(row.values) < turn:
                    continue  # it failed before
                answer = workers[case.worker].ask(f"run {case.name}")
                self.missing |= answer.get("missing", {})
                if "value" in answer:
                    self.made[case.name] = replace(row, values=(*row.values, answer["value"]))
            _say(f"{', '.join(names)}: round {turn + 1} of {self.args.repeats}")
        for worker in workers.values():
            self._end(worker)

    def _build(self, worker: Worker) -> list[str]:
        worker.ask("load")
        answer = worker.ask("build")
        if not answer and not self._over:
            names = [case.name for case in self.cases if case.worker == worker.name]
            answer = {"missing": dict.fromkeys(names, "its process died; out of memory?")}
        self.missing |= answer.get("missing", {})
        built: list[str] = answer.get("built", [])
        _say(f"{worker.name}: {len(built)} rows built")
        return built

    def _memory(self, cases: Sequence[Case]) -> None:
        """Peak memory of every case, alone in a new process."""
        cases = [case for case in cases if self.made[case.name].values]
        together = self.suite.at_once and len({case.worker for case in cases}) > 1
        with ThreadPoolExecutor(len(cases) or 1 if together else 1) as pool:
            for case, peaks in zip(cases, pool.map(self._peaks, cases), strict=True):
                self.made[case.name] = replace(self.made[case.name], **peaks)

    def _peaks(self, case: Case) -> dict[str, float | None]:
        def alone(worker: Worker) -> dict[str, Any]:
            worker.ask("load")
            return worker.ask("peak") if worker.ask("build").get("built") else {}

        few = {"GUIDED_STEPS": "1"}
        peaks = {"peak_gb": self._with(case.worker, [case], alone, **few).get("peak_gb")}
        if case.compiling:
            found = self._with(case.worker, [case], alone, **few, **NOT_CACHED)
            peaks["compiling_gb"] = found.get("peak_gb")
        _say(f"{case.name}: peak memory {peaks}")
        return peaks

    def _with(
        self,
        name: str,
        cases: Iterable[Case],
        use: Callable[[Worker], dict[str, Any]],
        **environment: str,
    ) -> dict[str, Any]:
        """A worker for one purpose."""
        worker = self._start(name, cases, **environment)
        if worker is None:
            return {}
        found = use(worker)
        self._end(worker)
        return found

    def _start(self, name: str, cases: Iterable[Case], **environment: str) -> Worker | None:
        """A worker, or None where no time is left."""
        with self._lock:
            if self._over:
                return None
            worker = Worker(self.args.suite, name, cases, {**self._environment, **environment})
            self._alive.add(worker)
            return worker

    def _end(self, worker: Worker) -> None:
        worker.close()
        with self._lock:
            self._alive.discard(worker)

    def _out_of_time(self) -> None:
        _say("no time left: what was not measured stays empty")
        with self._lock:
            self._over = True
            for worker in self._alive:
                worker.kill()

    def _notes(self) -> list[str]:
        """Ratios, and why rows are empty."""
        ratios = [
            f"{one} / {other}: {rows.number(value)} (median of pairs)"
            for one, other in self.suite.compare
            if (value := rows.ratio(self.made.values(), one, other)) is not None
        ]
        empty = [f"{name}: not measured ({why})" for name, why in self.missing.items()]
        late = [f"The run was ended after {self.args.minutes:g} minutes."] if self._over else []
        return ratios + empty + late


def _say(line: str) -> None:
    print(f"benchmark: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
