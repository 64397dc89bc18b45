"""One update of parts that are to come, while others train: their programs wait in the compilation cache.

A GPU's compiler takes a minute or more for a step, on host cores that training leaves idle (docs/MINI.md). A part that
is rehearsed starts from the cache in seconds. On a machine that trains on its cores there is nothing to win.
"""

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Start = Callable[[str, Path], "subprocess.Popen[Any]"]


class Rehearsal:
    """Rehearses groups one after the other, the parts of a group beside each other, on a thread of its own."""

    def __init__(
        self,
        groups: Sequence[Sequence[str]],
        folder: Path,
        start: Start,
        say: Callable[[str], None],
    ) -> None:
        """Begins.

        Args:
            groups: names of parts.
            folder: for what is said, PART.log each.
            start: of a name and the file for what it says, the process.
            say: is told what could not be rehearsed, which is no error: the part compiles by itself.
        """
        self._groups, self._folder, self._start, self._say = groups, folder, start, say
        self._over = threading.Event()
        self._running: list[subprocess.Popen[Any]] = []
        self._done = {name: threading.Event() for group in groups for name in group}
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, names: Sequence[str]) -> None:
        """Until these are rehearsed, if they are to be."""
        for name in names:
            if name in self._done:
                self._done[name].wait()

    def stop(self) -> None:
        """Ends what is running, and waits for it."""
        self._over.set()
        while self._thread.is_alive():  # it may be starting some at this moment
            for run in self._running:
                if run.poll() is None:
                    run.kill()
            self._thread.join(0.2)

    def _run(self) -> None:
        try:
            for group in self._groups:
                self._rehearse(group)
        finally:  # nobody waits for what will not come
            for event in self._done.values():
                event.set()

    def _rehearse(self, group: Sequence[str]) -> None:
        if self._over.is_set():
            return
        logs = {name: self._folder / f"{name}.log" for name in group}
        self._running = [self._start(name, log) for name, log in logs.items()]
        for run, (name, log) in zip(self._running, logs.items(), strict=True):
            code = run.wait()
            if code and not self._over.is_set():
                self._say(f"{name}: could not be compiled ahead (code {code}); {log} says why")
            self._done[name].set()
