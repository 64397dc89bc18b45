"""Measures a suite and writes its tables into docs/PERFORMANCE.md.

    python benchmarks/run.py cpu                              SD1.5 size on a CPU beside diffusers; idle cores, 15 GB
    python benchmarks/run.py gpu --minutes 9                  every GPU row in one run
    python benchmarks/run.py small                            a rehearsal in a few minutes
    python benchmarks/run.py cpu --only step --only published    some workers, or rows by a part of their name
    python benchmarks/run.py --show results.json --docs docs/PERFORMANCE.md     tables of an earlier run

Every row is the median of at least 5 repetitions, with the lowest and the highest. Rows that are compared take turns,
each in a process of its own (`--one_at_a_time` where they do not fit in memory together). Rows that need torch and
diffusers stay empty where these are not installed, and so do rows that no time was left for.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import rows
from cases import Case, Suite
from suites import SUITES

GIGA = 1e9


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
        help="a worker, or a part of rows' names; repeat for more",
    )
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of a row (5)")
    parser.add_argument(
        "--steps",
        type=int,
        default=3,
        help="guided steps per repetition of a guided step's row (3)",
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="end after so long with what there is"
    )
    parser.add_argument("--one_at_a_time", action="store_true", help="no two workers at once")
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"), help="results as JSON")
    parser.add_argument("--docs", type=Path, help="a document to write the tables into")
    parser.add_argument("--show", type=Path, help="results of an earlier run, instead of a new one")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(SUITES[args.suite](), args.worker, args.only)
    if args.show:
        results = rows.Results.load(args.show)
    elif args.suite:
        results = measure(SUITES[args.suite](), args)
        results.save(args.out)
    else:
        parser.error("expected a suite, or --show")
    print(rows.tables(results))
    if args.docs:
        rows.write_into(args.docs, results)
    return 0


def chosen(suite: Suite, only: Sequence[str]) -> list[Case]:
    """The cases that `--only` names; all where it names none."""
    return [
        case
        for case in suite.cases
        if not only or any(word == case.worker or word in case.name for word in only)
    ]


# -- the parent ---------------------------------------------------------------------------------------


class Worker:
    """A process that holds some cases and runs them when it is told to."""

    def __init__(
        self, suite: str, name: str, only: Sequence[str], environment: dict[str, str]
    ) -> None:
        command = [sys.executable, __file__, suite, "--worker", name]
        command += [part for word in only for part in ("--only", word)]
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, request: str) -> dict[str, Any]:
        """One request, one answer; {} where the process is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
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


def measure(suite: Suite, args: argparse.Namespace) -> rows.Results:
    """All chosen cases, worker by worker."""
    until = time.monotonic() + 60 * args.minutes
    cases = chosen(suite, args.only)
    made = {case.name: rows.Row(case.group, case.name, case.unit, per=case.per) for case in cases}
    about: dict[str, Any] = {}
    turns = [(one,) for some in suite.order for one in some] if args.one_at_a_time else suite.order
    for names in turns:
        mine = [case for case in cases if case.worker in names]
        if mine and time.monotonic() < until:
            _take_turns(args, suite, names, mine, made, about, until)
    notes = [
        f"{one} / {other}: {rows.number(value)} (median of pairs)"
        for one, other in suite.compare
        if (value := rows.ratio(made.values(), one, other)) is not None
    ]
    return rows.Results(
        suite.name,
        list(made.values()),
        about.get("peak"),
        about.get("peak_of", ""),
        rows.machine(about.get("device", "no device")),
        rows.versions(),
        rows.today(),
        notes,
    )


def _take_turns(
    args: argparse.Namespace,
    suite: Suite,
    names: Sequence[str],
    cases: Sequence[Case],
    made: dict[str, rows.Row],
    about: dict[str, Any],
    until: float,
) -> None:
    """Workers that live at the same time: each builds its cases, then every round runs each case once."""
    environment = {**dict(suite.environment), "GUIDED_STEPS": str(args.steps)}
    present = [name for name in names if any(case.worker == name for case in cases)]
    workers = {name: Worker(args.suite, name, args.only, environment) for name in present}

    def out_of_time() -> None:
        _say("no time left: the other rows stay empty")
        for worker in workers.values():
            worker.kill()

    clock = threading.Timer(max(0.0, until - time.monotonic()), out_of_time)
    clock.start()
    ready = _build_all(workers, cases)
    for turn in range(args.repeats):
        for case in ready:
            row = made[case.name]
            if len(row.values) < turn:
                continue  # it failed before
            answer = workers[case.worker].ask(f"run {case.name}")
            if "value" in answer:
                made[case.name] = replace(row, values=(*row.values, answer["value"]))
        _say(f"{', '.join(present)}: round {turn + 1} of {args.repeats}")
    for case in ready:
        if case.memory:
            peak = workers[case.worker].ask("memory").get("peak_gb")
            made[case.name] = replace(made[case.name], peak_gb=peak)
    for worker in workers.values():  # last: counting takes memory
        answer = worker.ask("count")
        about.update(answer.get("about", {}))
        for name, tflop in answer.get("tflop", {}).items():
            made[name] = replace(made[name], tflop=tflop)
    clock.cancel()
    for worker in workers.values():
        worker.close()


def _build_all(workers: dict[str, Worker], cases: Sequence[Case]) -> list[Case]:
    """Has every worker build its cases, one worker after the other; returns the cases that can run."""
    ready: list[Case] = []
    for name, worker in workers.items():
        built = worker.ask("build").get("built", ())
        ready += [case for case in cases if case.worker == name and case.name in built]
        _say(f"{name}: {len(built)} rows built")
    return ready


def _say(line: str) -> None:
    print(f"benchmark: {line}", file=sys.stderr, flush=True)


# -- a worker -----------------------------------------------------------------------------------------


def work(suite: Suite, name: str, only: Sequence[str]) -> int:
    """Answers requests on stdin with lines of JSON, until told to end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    cases = [case for case in chosen(suite, only) if case.worker == name]
    built: dict[str, Any] = {}
    for request in _requests():
        answer: dict[str, Any] = {}
        if request == "build":
            _build(suite, name, cases, built)
            answer = {"built": list(built)}
        elif request.startswith("run "):
            with _told(request):
                answer = {"value": built[request.removeprefix("run ")]()}
        elif request == "memory":
            answer = {"peak_gb": _peak_gb()}
        elif request == "count":
            answer = {"tflop": _count(cases, built)}
            answer |= {"about": _about()} if name in ("step", "pictures") else {}
        print(json.dumps(answer), file=answers, flush=True)
    return 0


def _requests() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip() == "end":
            return
        yield line.strip()


def _build(suite: Suite, name: str, cases: Sequence[Case], built: dict[str, Any]) -> None:
    """Loads, compiles and warms up; what could not be built is left out, with the reason on stderr."""
    with _told(name):
        loaded = suite.load[name]()

        def one(case: Case) -> None:
            with _told(case.name):
                built[case.name] = case.build(loaded)

        with ThreadPoolExecutor(suite.threads) as pool:
            list(pool.map(one, cases))
        for case in cases:
            with _told(case.name):
                timed = built.pop(case.name, None)
                if timed is not None:
                    timed()  # warms up, one after the other: together they might not fit
                    built[case.name] = timed


def _count(cases: Sequence[Case], built: Collection[str]) -> dict[str, float]:
    """Operations of each row's value, in 10^12."""
    counts = {}
    for case in cases:
        if case.name in built and case.tflop is not None:
            with _told(case.name):
                counts[case.name] = case.tflop()
    return counts


def _about() -> dict[str, Any]:
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


def _peak_gb() -> float:
    """Peak memory of this process: of the GPU where there is one, else resident."""
    peaks = [0]
    if "torch" in sys.modules:
        import torch

        peaks.append(torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
    if "jax" in sys.modules:
        import jax

        peaks.append((jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0))
    if max(peaks):
        return max(peaks) / GIGA
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIGA


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """A row that fails stays empty; the others go on."""
    try:
        yield
    except ImportError as error:
        _say(f"{what}: left empty ({error})")
    except Exception:
        _say(f"{what}: left empty\n{traceback.format_exc()}")


if __name__ == "__main__":
    raise SystemExit(main())
