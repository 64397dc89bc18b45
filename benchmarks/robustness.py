"""Does a run survive? Kills, stops, damaged checkpoints and NaNs, thrown at train.py on a tiny recipe.

    python benchmarks/robustness.py                                        all: 80 kills, 10 stops, 50 damages, 20 NaNs
    python benchmarks/robustness.py --kills 4 --saves 2 --terms 2 --damages 10 --nans 4       a few of each

    kills      kill -9 at random moments, `--saves` of them while a checkpoint is being written; the run is started
               again each time. Survived: it resumed from the newest sealed checkpoint, and the final state (weights,
               averages, optimizer, PRNG key) equals an unbroken run's, byte by byte.
    terms      SIGTERM at random moments of one run. Survived: exit code 0, the step that ran is the step that was
               saved, every step is in metrics.jsonl once, and the final state is the unbroken run's.
    damages    one random file of the newest checkpoint is cut, has a byte flipped, or is missing. Survived: found,
               named, and the checkpoint before is taken.
    nans       id embeddings of one batch are NaN. Survived: the update is skipped and counted, nothing changes.

NaNs are put in by this script around `training.loop.put_batch`; the trainer knows nothing of it. A restart takes about
8 s of one core, most of it imports, tracing and loading the compiled step: all together 25 minutes on 2 idle cores.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiny_run
from tiny_run import Session

from dynamicid_jax.training.checkpoint import Checkpoints
from dynamicid_jax.trees import flatten

RESUMED = re.compile(r"going on after step (\d+)")
SAVING = re.compile(r"SIGTERM: saving step (\d+)")


class Trials:
    """All trials on one tiny recipe; the unbroken runs are made once."""

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.random = work, random.Random(seed)
        self.recipe = tiny_run.write(work / "tiny")
        self.unbroken: dict[int, dict[str, bytes]] = {}
        self.startup = self.saved = 1.0  # seconds to the first checkpoint, and to write one
        self.problems: list[str] = []

    def reference(self, steps: int) -> dict[str, bytes]:
        """The final state of a run that nothing disturbs."""
        if steps not in self.unbroken:
            for name in ("cold", "warm"):  # the first run compiles, the second one is timed
                session = Session(self.recipe, self.work / f"{name}_{steps}", steps)
                begin = time.monotonic()
                if session.until(session.saving):
                    self.startup = time.monotonic() - begin
                    session.until(lambda s=session: not s.saving())
                    self.saved = time.monotonic() - begin - self.startup
                if code := session.end():
                    raise SystemExit(f"the unbroken run failed: {session.failed(code)}")
                say(f"unbroken run of {steps} steps: first checkpoint after {self.startup:.1f} s")
            self.unbroken[steps] = self.state(session)
            self._equal(
                self.state(session), self.state_of(self.work / f"cold_{steps}"), "two unbroken runs"
            )
        return self.unbroken[steps]

    def state(self, session: Session) -> dict[str, bytes]:
        """A session's newest checkpoint."""
        return self.state_of(session.checkpoints.parent)

    def state_of(self, workdir: Path, folder: str = "checkpoints") -> dict[str, bytes]:
        """The newest checkpoint's arrays as bytes."""
        restored = Checkpoints(workdir / folder).restore()
        assert restored is not None
        return {
            name: np.asarray(array).tobytes() for name, array in flatten(restored.state).items()
        }

    def kills(self, count: int, saves: int, steps: int) -> dict[str, Any]:
        """`kill -9`, so often, over as many runs as it takes."""
        reference = self.reference(steps)
        done = during = equal = runs = resumed = 0
        while done < count:
            runs += 1
            workdir, finished, killed_here = self.work / f"killed_{runs}", False, 0
            while not finished:
                session = Session(self.recipe, workdir, steps)
                before = session.sealed()
                aim_at_save = during < saves and self.random.random() < 2 * saves / count
                alive = done < count and self._strike_moment(session, aim_at_save)
                code = session.end(signal.SIGKILL if alive else None)
                at = session.found(RESUMED)
                if at is not None or not before:
                    resumed += killed_here  # those before, which this session outlived
                    killed_here = 0
                    if before and at != before[-1]:
                        self.problems.append(
                            f"resumed at {at}, newest sealed was {before[-1]}: {session.log}"
                        )
                if code == -signal.SIGKILL:
                    done, killed_here = done + 1, killed_here + 1
                    hit = session.saving()
                    during += hit
                    say(
                        f"kill {done}/{count}{' during a save' if hit else ''}, sealed {session.sealed()}"
                    )
                elif code == 0:
                    finished = True
                else:
                    self.problems.append(session.failed(code))
                    return {"asked": count, "passed": 0, "note": "a session failed"}
            same = self._equal(self.state(session), reference, str(workdir))
            equal += same
            say(f"run {runs} finished, final state {'equal' if same else 'DIFFERENT'}")
            shutil.rmtree(workdir / "model", ignore_errors=True)
        passed = resumed if equal == runs and during >= saves else 0
        note = f"{during} during a save; {equal} of {runs} final states byte-equal to the unbroken run's"
        return {"asked": count, "passed": passed, "note": note}

    def _strike_moment(self, session: Session, aim_at_save: bool) -> bool:
        """Waits for the moment to kill; False if the run ended before."""
        if not aim_at_save:
            until = time.monotonic() + self.random.uniform(0, self.startup + 6 * self.saved)
            return session.until(lambda: time.monotonic() > until)
        for _ in range(self.random.randint(0, 2)):  # not always the first one of a session
            if not (session.until(session.saving) and session.until(lambda: not session.saving())):
                return False
        if not session.until(session.saving):
            return False
        time.sleep(self.random.uniform(0, 0.8 * self.saved))
        return session.process.poll() is None

    def terms(self, count: int) -> dict[str, Any]:
        """SIGTERM, so often, in one run."""
        steps = 40 * count
        reference = self.reference(steps)
        workdir, lost, stops, at = self.work / "stopped", 0, 0, 0
        while True:
            session = Session(self.recipe, workdir, steps)
            number = re.compile(rf"(?<!\d)(\d+)/{steps}(?!\d)")
            alive = stops < count and session.until(lambda s=session, n=number: s.found(n))
            if alive:
                pause = time.monotonic() + self.random.uniform(0, 0.5)
                alive = session.until(lambda p=pause: time.monotonic() > p)
            code = session.end(signal.SIGTERM if alive else None)
            if (session.found(RESUMED) or 0) != at:
                self.problems.append(f"resumed elsewhere than at {at}: {session.log}")
            if code:
                self.problems.append(session.failed(code))
                return {"asked": count, "passed": stops, "note": "a session failed"}
            told = session.found(SAVING)
            if told is None:
                break
            stops, at = stops + 1, session.sealed()[-1]
            lost += abs(told - at)
            say(f"SIGTERM {stops}/{count} during step {told}, saved {at}")
        lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        logged = [line["step"] for line in lines if "loss" in line]
        lost += len(set(range(1, steps + 1)) - set(logged))
        repeated = len(logged) - len(set(logged))
        same = self._equal(self.state(session), reference, "the stopped run")
        note = f"{lost} steps lost, {repeated} repeated; final state {'byte-equal' if same else 'DIFFERENT'}"
        return {
            "asked": count,
            "passed": stops if same and not lost + repeated else 0,
            "note": note,
        }

    def damages(self, count: int, steps: int) -> dict[str, Any]:
        """One damaged file at a time, in a copy of a finished run's checkpoints."""
        self.reference(steps)
        source = self.work / f"warm_{steps}" / "checkpoints"
        newest, before = sorted((int(path.name) for path in source.iterdir()), reverse=True)[:2]
        kinds, detected = {"truncated": _truncate, "flipped": _flip, "missing": _remove}, 0
        for number in range(count):
            copy = self.work / "damaged" / "checkpoints"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy)
            files = sorted(path for path in (copy / str(newest)).rglob("*") if path.is_file())
            kind = list(kinds)[number % len(kinds)]
            path = self.random.choice([f for f in files if kind == "missing" or f.stat().st_size])
            kinds[kind](path, self.random)
            restored = Checkpoints(copy).restore()
            assert restored is not None
            ok = restored.step == before and [step for step, _ in restored.skipped] == [newest]
            detected += ok
            if not ok:
                self.problems.append(f"{kind} {path}: restored {restored.step}, {restored.skipped}")
        session = Session(self.recipe, self.work / "damaged", steps)
        code = session.end()
        told = f"going back to {before}" in session.log.read_text()
        same = code == 0 and self._equal(
            self.state(session), self.reference(steps), "the damaged run"
        )
        note = f"train.py {'says so' if told else 'is SILENT'}, final state {'byte-equal' if same else 'DIFFERENT'}"
        return {"asked": count, "passed": detected if told and same else 0, "note": note}

    def nans(self, count: int) -> dict[str, Any]:
        """NaN batches at random steps, the last step among them."""
        steps = 2 * count + 2
        bad = sorted({*self.random.sample(range(2, steps), count - 1), steps})
        script = [str(Path(__file__).resolve()), "--inject", ",".join(map(str, bad)), "--"]
        more = ("--config.checkpoint.every=1", f"--config.checkpoint.max_bad_steps={count + 1}")
        session = Session(self.recipe, self.work / "nan", steps, *more, script=script)
        if code := session.end():
            self.problems.append(session.failed(code))
            return {"asked": count, "passed": 0, "note": "the run failed"}
        after = self.state(session)
        skipped = int(np.frombuffer(after["skipped"], np.int32)[0])
        shutil.rmtree(session.checkpoints / str(steps))
        before = self.state(session)
        kept = [n for n in before if n.startswith(("trained", "opt_state", "ema", "stats"))]
        same = bool(kept) and all(before[name] == after[name] for name in kept)
        finite = all(
            np.isfinite(np.frombuffer(after[n], np.float32)).all()
            for n in after
            if n.startswith("trained")
        )
        note = f"{skipped} skipped; state after a skip {'as before' if same else 'CHANGED'}"
        return {"asked": count, "passed": skipped if same and finite else 0, "note": note}

    def _equal(self, one: dict[str, bytes], other: dict[str, bytes], what: str) -> bool:
        different = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        if different:
            self.problems.append(f"{what}: {len(different)} arrays differ, first {different[0]}")
        return not different


def inject(steps: set[int], arguments: list[str]) -> None:
    """train.py, with NaN id embeddings in the batches of some steps."""
    from dynamicid_jax.cli.main import main
    from dynamicid_jax.training import loop

    real, numbers = loop.put_batch, iter(range(1, sys.maxsize))

    def put_batch(batch: Any, mesh: Any) -> Any:
        if next(numbers) in steps:
            batch = batch | {"id_embedding": np.full_like(batch["id_embedding"], np.nan)}
        return real(batch, mesh)

    loop.put_batch = put_batch
    raise SystemExit(main(["train", *arguments]))


def say(text: str) -> None:
    """One line of progress."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _truncate(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def _flip(path: Path, draw: random.Random) -> None:
    text = bytearray(path.read_bytes())
    text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
    path.write_bytes(text)


def _remove(path: Path, draw: random.Random) -> None:
    path.unlink()


def main() -> int:
    """Throws, prints the table; 0 if everything survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in (
        ("kills", 80),
        ("saves", 20),
        ("terms", 10),
        ("damages", 50),
        ("nans", 20),
        ("steps", 60),
    ):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, help="where the runs go; kept. Without it a temporary folder"
    )
    parser.add_argument("--out", type=Path, help="the table as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        os.environ.setdefault("DYNAMICID_CACHE", str(work / "cache"))
        begin, trials = time.monotonic(), Trials(work, args.seed)
        rows = dict(_rows(trials, args))
    passed = all(row["passed"] == row["asked"] for row in rows.values())
    print(f"\n{'':9}{'thrown':>7}{'survived':>9}")
    for name, row in rows.items():
        print(f"{name:9}{row['asked']:7}{row['passed']:9}  {row['note']}")
    for problem in trials.problems:
        print("problem:", problem)
    print(
        f"{'all survived' if passed else 'NOT all survived'}, {(time.monotonic() - begin) / 60:.1f} minutes"
    )
    if args.out:
        args.out.write_text(
            json.dumps({"rows": rows, "problems": trials.problems}, indent=2) + "\n"
        )
    return 0 if passed and not trials.problems else 1


def _rows(trials: Trials, args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if args.nans:
        yield "nans", trials.nans(args.nans)
    if args.damages:
        yield "damages", trials.damages(args.damages, args.steps)
    if args.terms:
        yield "terms", trials.terms(args.terms)
    if args.kills:
        yield "kills", trials.kills(args.kills, args.saves, args.steps)


if __name__ == "__main__":
    if "--inject" in sys.argv:
        here = sys.argv.index("--inject")
        # script, --inject, steps, --, and what train.py takes
        inject({int(step) for step in sys.argv[here + 1].split(",")}, sys.argv[here + 3 :])
    raise SystemExit(main())
