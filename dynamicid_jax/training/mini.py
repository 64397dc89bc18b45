"""The mini model's chain within a time budget: groups of parts, each part a run of its own in its own process.

    RUN/<part>/     an ordinary run of the part's recipe
    RUN/faces/      the face networks, once their parts are done
    RUN/model/      the newest whole model
    RUN/mini.json   how the time is shared out and what was spent: the same command again goes on from there

The time that is left is shared among the groups that are left by their `minutes`, so whatever was lost or won before
is made up for. A part ends when its time is up, with what it has learned by then. On an accelerator, parts to come are
compiled while the first ones train (rehearsal.py).
"""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError, TrainingError
from dynamicid_jax.training.rehearsal import Rehearsal

FACES, MODEL, STATE, AHEAD = "faces", "model", "mini.json", "ahead"
RESERVE = 0.35  # minutes a process needs before and after its run's own clock


@dataclass(frozen=True)
class Part:
    """One training.

    Attributes:
        name: of its folder.
        recipe: a file below the folder of recipes.
        minutes: its share of the time.
        changes: overrides of the recipe.
    """

    name: str
    recipe: str
    minutes: float
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_faces(self) -> bool:
        """Whether it trains a face network."""
        return self.recipe.startswith("face_pack/")


Group = Sequence[Part]


def read_budget(recipes: Path, name: str) -> list[Group]:
    """One of the budgets in RECIPES/budgets.py.

    Raises:
        InputError: no such file or budget.
    """
    file = recipes / "budgets.py"
    if not file.is_file():
        raise InputError(
            f"--recipes {recipes}: no budgets.py there; run this in a checkout, where configs/mini is"
        )
    budgets = runpy.run_path(str(file))["BUDGETS"]
    if name not in budgets:
        raise InputError(f"--budget {name}: expected one of {', '.join(budgets)}")
    return [[Part(**values) for values in group] for group in budgets[name]]


class MiniRun:
    """One folder's chain."""

    def __init__(
        self,
        recipes: Path,
        workdir: Path,
        groups: Sequence[Group],
        minutes: float,
        say: Callable[[str], None],
        start: str = "",
        ahead: bool = False,
    ) -> None:
        """Reads where an earlier call stopped.

        Args:
            recipes: folder of the recipes.
            workdir: made if need be.
            groups: the parts to run, in order.
            minutes: for all calls together.
            say: is told what begins and ends.
            start: a model to go on from ("mini" or a folder); "": from random weights.
            ahead: whether groups to come are compiled while the first ones train.
        """
        self._start_from, self._ahead = start, ahead
        self._rehearsal: Rehearsal | None = None
        self._recipes, self._workdir, self._say = recipes, workdir, say
        self._groups, self._minutes = groups, minutes
        workdir.mkdir(parents=True, exist_ok=True)
        self._file = workdir / STATE
        known = json.loads(self._file.read_text()) if self._file.is_file() else {}
        self._state: dict[str, Any] = {"spent": 0.0, "given": {}, "done": []} | known
        self._begin = time.monotonic()

    def run(self) -> bool:
        """Runs what is not done yet; False where a signal ended it."""
        try:
            return self._run()
        finally:
            if self._rehearsal is not None:
                self._rehearsal.stop()
                shutil.rmtree(self._workdir / AHEAD, ignore_errors=True)

    def _run(self) -> bool:
        for number, group in enumerate(self._groups):
            names = [part.name for part in group]
            if all(name in self._state["done"] for name in names):
                continue
            if self._rehearsal is not None:
                self._rehearsal.wait(names)
            elif self._ahead:
                self._rehearsal = self._rehearse(self._groups[number + 1 :])
            self._share(number)
            given = ", ".join(f"{name} {self._state['given'][name]:.1f} min" for name in names)
            self._say(f"{number + 1} of {len(self._groups)}: {given}")
            finished = self._run_group(group)
            self._spend()
            if not finished:
                return False
            self._collect(group)
            self._state["done"] += names
            self._keep()
            self._say(f"done: {', '.join(names)}; {self._state['spent']:.1f} minutes so far")
        return True

    def _share(self, number: int) -> None:
        """Gives each part of a group its minutes, if it has none yet."""
        rest = [max(part.minutes for part in group) for group in self._groups[number:]]
        left = self._minutes - self._state["spent"]
        for part in self._groups[number]:
            share = left * part.minutes / sum(rest) - RESERVE
            self._state["given"].setdefault(part.name, max(share, 0.05))
        self._keep()

    def _spend(self) -> None:
        now = time.monotonic()
        self._state["spent"] += (now - self._begin) / 60
        self._begin = now
        self._keep()

    def _keep(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._state, indent=2) + "\n")
        partial.replace(self._file)

    def _run_group(self, group: Group) -> bool:
        """Runs the parts beside each other; False where they were asked to stop.

        Raises:
            TrainingError: one failed (the others are stopped; they can go on later).
        """
        runs = {part.name: self._start(part, len(group)) for part in group}
        relays = [
            threading.Thread(target=_relay, args=(run.stdout, self._say), daemon=True)
            for run in runs.values()
            if run.stdout is not None
        ]
        for relay in relays:
            relay.start()
        before = {
            number: signal.signal(number, lambda number, _: _stop(runs.values()))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            failed = _wait(runs)
        finally:
            _stop(runs.values())
            for number, handler in before.items():
                signal.signal(number, handler)
        for relay in relays:
            relay.join(5)
        if failed:
            raise TrainingError(
                f"{failed}: its process ended with code {runs[failed].returncode}; what it said is above. The same "
                "command goes on with what is left"
            )
        return all(_finished(self._workdir / part.name) for part in group)

    def _rehearse(self, groups: Sequence[Group]) -> Rehearsal:
        """Compiles what is to come, from the models that there are now: shapes are all that matters."""
        parts = {part.name: part for group in groups for part in group}
        folder = self._workdir / AHEAD

        def start(name: str, log: Path) -> "subprocess.Popen[str]":
            with log.open("wb") as said:
                return self._launch(parts[name], folder / name, {"minutes": 0, "steps": 1}, said)

        names = [[part.name for part in group] for group in groups]
        return Rehearsal(names, folder, start, self._say)

    def _start(self, part: Part, beside: int) -> "subprocess.Popen[str]":
        """A process that trains one part."""
        minutes = round(self._state["given"][part.name], 3)
        pipe = subprocess.PIPE if beside > 1 else None
        return self._launch(part, self._workdir / part.name, {"minutes": minutes}, pipe)

    def _launch(
        self, part: Part, workdir: Path, changes: dict[str, Any], said: Any
    ) -> "subprocess.Popen[str]":
        """A part's recipe in a process of its own; `said`: where its words go, None: where ours go."""
        values = self._changes(part) | changes
        command = [
            *(sys.executable, "-m", "dynamicid_jax", "train"),
            *("--config", str(self._recipes / part.recipe)),
            *("--workdir", str(workdir)),
            *(f"--config.{key}={value!r}" for key, value in values.items()),
        ]
        return subprocess.Popen(
            command,
            # Processes beside each other share one device's memory: each takes what it needs.
            env={"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ},
            stdout=said,
            stderr=None if said is None else subprocess.STDOUT,
            text=True,
            start_new_session=True,  # signals come from here, once
        )

    def _changes(self, part: Part) -> dict[str, Any]:
        """Overrides of a part's recipe, with the models that there are by now."""
        changes = dict(part.changes)
        if part.of_faces:
            return changes
        model = self._workdir / MODEL
        if (self._workdir / FACES).is_dir():
            changes["data.face_nets"] = str(self._workdir / FACES)
        before = str(model) if model.is_dir() else self._start_from
        if before:
            changes["base"] = before
        if self._start_from:
            changes["model.anew"] = False
            changes.setdefault("data.face_nets", self._start_from)
        return changes

    def _collect(self, group: Group) -> None:
        """Puts what a group trained together."""
        faces = [part for part in group if part.of_faces]
        others = [part for part in group if not part.of_faces]
        for chosen, name in ((faces, FACES), (others, MODEL)):
            if not chosen:
                continue
            from dynamicid_jax.training.merge import merge

            target = self._workdir / name
            found = [
                (_stage(self._workdir / part.name), self._workdir / part.name / MODEL)
                for part in chosen
            ]
            if faces and target.is_dir():  # the networks of groups before
                found.insert(0, ("", target))
            merge(found, target)


def _stage(folder: Path) -> str:
    return json.loads((folder / "report.json").read_text())["stage"]


def _finished(folder: Path) -> bool:
    report = folder / "report.json"
    return report.is_file() and json.loads(report.read_text())["status"] == "finished"


def _relay(stream: Any, say: Callable[[str], None]) -> None:
    for line in stream:
        say(line.rstrip("\n"))


def _wait(runs: Mapping[str, "subprocess.Popen[str]"]) -> str:
    """Until all have ended: "", or the first that failed, at once."""
    while True:
        codes = {name: run.poll() for name, run in runs.items()}
        for name, code in codes.items():
            if code:
                return name
        if None not in codes.values():
            return ""
        time.sleep(0.2)


def _stop(runs: Any) -> None:
    """Asks those that still run to save and leave, and waits for them."""
    for run in runs:
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
    for run in runs:
        run.wait()
