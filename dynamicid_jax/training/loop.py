"""The one training loop, for every stage.

    set_up    data, model, mesh, compiled step                         training/setup.py
    resume    the newest intact checkpoint, or a fresh state            training/checkpoint.py
    repeat    batch -> step -> numbers; at times held-out loss, pictures, checkpoint
    leave     at the last step, when the time is up, or when asked to stop: save, and say what happened

A checkpoint is the state, the place in the data and the clock. They go on together, so a run that was broken off
repeats the steps after its last checkpoint bit for bit.
"""

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from etils import epath

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.errors import TrainingError
from dynamicid_jax.training import distributed
from dynamicid_jax.training.checkpoint import Checkpoints
from dynamicid_jax.training.console_progress import ConsoleProgress
from dynamicid_jax.training.export import save_model
from dynamicid_jax.training.goodput import Goodput
from dynamicid_jax.training.metrics import AHEAD, Line, Meter
from dynamicid_jax.training.preemption import Preemption
from dynamicid_jax.training.progress_checks import Checks
from dynamicid_jax.training.recipe import check_same, keep_recipe
from dynamicid_jax.training.report import RunReport, write_report
from dynamicid_jax.training.setup import Setup, set_up
from dynamicid_jax.training.sharding import put_batch, replicated
from dynamicid_jax.training.time_budget import TimeBudget
from dynamicid_jax.training.writers import Writers, last_sign_of_life

CHECKPOINTS = "checkpoints"


def train(config: TrainConfig, workdir: epath.PathLike) -> dict[str, Any]:
    """Trains, or goes on training, in a folder.

    Args:
        config: the recipe.
        workdir: checkpoints, metrics, pictures and the finished model; gs:// and other schemes too.

    Returns:
        the report, as in WORKDIR/report.json.

    Raises:
        InputError: a recipe, data or devices that do not fit together, or a folder with another recipe.
        TrainingError: losses or gradients that stay not finite.
    """
    folder = epath.Path(workdir)
    with distributed.running(), contextlib.ExitStack() as stack:
        goodput = Goodput()
        with goodput.phase("start"):
            check_same(folder, config)
            setup = set_up(config)
            stack.callback(setup.loader.close)
        checkpoints = Checkpoints(folder / CHECKPOINTS, config.checkpoint.keep)
        stack.callback(checkpoints.close)
        run = _Run(setup, folder, checkpoints, goodput)
        stopping = stack.enter_context(Preemption())
        progress = stack.enter_context(run.progress)
        finished = run.repeat(stopping, progress)
        return run.leave("finished" if finished else "stopped by a signal")


class _Run:
    """What one session carries from step to step."""

    def __init__(
        self, setup: Setup, folder: epath.Path, checkpoints: Checkpoints, goodput: Goodput
    ) -> None:
        """Resumes; nothing is trained yet."""
        self.setup, self.config, self.folder = setup, setup.config, folder
        self.checkpoints, self.goodput = checkpoints, goodput
        self.fallbacks: list[tuple[int, str]] = []
        self.checks = Checks(setup)
        self.budget = TimeBudget(self.config.minutes, self.config.steps, goodput)
        with goodput.phase("restore"):
            self._resume()
        self.first_step, self.saved = self.step, self.goodput.total()
        keep_recipe(folder, self.config)
        self.writers = Writers(folder, self.config.log.tensorboard, start_step=self.step)
        self.meter = Meter(
            every=self.config.log.every,
            batch_size=setup.pictures_per_step,
            goodput=goodput,
            on_step=self._watch,
        )
        self.recent: deque[tuple[int, list[str]]] = deque(
            maxlen=self.config.checkpoint.max_bad_steps + AHEAD + 1
        )
        active = jax.process_index() == 0
        self.progress = ConsoleProgress(
            self.config.stage, self.config.steps, start_step=self.step, active=active
        )

    def _resume(self) -> None:
        found = self.checkpoints.restore(self.setup.state_like())
        self.step = 0 if found is None else found.step
        self.state = self.setup.fresh_state() if found is None else found.state
        if found is not None:
            self.setup.loader.restore(found.extra["loader"])
            self.goodput.resume(found.extra["goodput"], last_sign_of_life(self.folder))
            self.checks.resume(found.extra["checks"])
            self.fallbacks = found.skipped

    def repeat(self, stopping: Preemption, progress: ConsoleProgress) -> bool:
        """Takes steps up to the last one; False where a signal ended them before."""
        self.say_start(progress)
        last = self.budget.over(self.step)
        item, batch = self.begin(progress, last)
        while not last:
            with self.goodput.phase("step"):
                self.state, metrics = self.setup.placed.step(self.setup.frozen, self.state, batch)
            self.step += 1
            last = self.budget.over(self.step)
            self.recent.append((self.step, item.keys))
            line = self.meter.add(self.step, metrics)
            progress.tick(self.step)
            if line is not None:
                self.tell(line, progress)
            self.check(progress, last)
            if stopping.stop_requested(self.step):
                return last
            if self.save_due():
                self.save(progress)
            if not last:
                with self.goodput.phase("data"):
                    item, batch = self.read()
        return True

    def read(self) -> tuple[Any, Any]:
        """The next item of the data, and its rows on the devices."""
        item = next(self.setup.loader)
        return item, put_batch(item.batch, self.setup.mesh)

    def begin(self, progress: ConsoleProgress, last: bool) -> tuple[Any, Any]:
        """Reads and compiles on a thread of its own, while a run that begins has its first look; what was read."""

        def ready() -> tuple[Any, Any]:
            item, batch = self.read()
            self.meter.flops_per_step = self.setup.compile(self.state, batch)
            return item, batch

        with ThreadPoolExecutor(1) as pool:
            first = None if last else pool.submit(ready)
            if self.step == 0:
                self.check(progress, last)
            with self.goodput.phase("compile"):
                return first.result() if first else (None, None)

    def say_start(self, progress: ConsoleProgress) -> None:
        """One line for what was passed over, one for where the run goes on."""
        for step, why in self.fallbacks:
            progress.note(f"checkpoint {step} {why}; going back to {self.step}")
        if self.step:
            progress.note(f"going on after step {self.step} of {self.config.steps}")

    def tell(self, line: Line, progress: ConsoleProgress) -> None:
        """An interval's numbers, to the files and the terminal."""
        if self.config.minutes:
            self.pace(progress)
        with self.goodput.phase("log"):
            self.writers.scalars(line.step, line.values)
            progress.update(line.step, line.values)

    def pace(self, progress: ConsoleProgress) -> None:
        """Tells the step, and who watches, how many updates the time is enough for."""
        updates = self.budget.updates(self.step)
        everywhere = replicated(self.setup.mesh)
        self.setup.frozen["constants"]["updates"] = jax.device_put(np.int32(updates), everywhere)
        progress.expect(updates)

    def check(self, progress: ConsoleProgress, last: bool) -> None:
        """Held-out loss and pictures, where they are due."""
        if self.checks.heldout_due(self.step, last):
            with self.goodput.phase("heldout"):
                self.writers.scalars(self.step, self.checks.heldout(self.step, self.state.best))
        if self.checks.pictures_due(self.step, last):
            with self.goodput.phase("pictures"):
                picture = self.checks.draw(self.step, self.state.best)
            if picture is not None:
                self.writers.picture(self.step, "samples", picture)

    def save_due(self) -> bool:
        """Whether enough steps, or enough time, have passed since the last checkpoint."""
        limits = self.config.checkpoint
        if limits.every and self.step % limits.every == 0:
            return True
        timed = limits.minutes > 0 and jax.process_count() == 1
        return timed and self.goodput.total() - self.saved >= 60 * limits.minutes

    def save(self, progress: ConsoleProgress) -> None:
        """A checkpoint; it is written while the next steps run."""
        self.saved = self.goodput.total()
        for line in self.meter.settle():
            self.tell(line, progress)
        with self.goodput.phase("checkpoint"):
            extra = {
                "loader": self.setup.loader.state(),
                "goodput": self.goodput.state(),
                "checks": self.checks.state(),
            }
            self.checkpoints.save(self.step, self.state, extra)
            self.writers.flush()
        progress.checkpoint(self.step)

    def leave(self, status: str) -> dict[str, Any]:
        """Saves, writes the model (of a finished run) and the report."""
        for line in self.meter.finish():
            self.tell(line, self.progress)
        self.save(self.progress)
        with self.goodput.phase("checkpoint"):
            self.checkpoints.wait()
            if status == "finished":
                model = save_model(
                    self.folder,
                    self.setup.base,
                    self.setup.program.stage,
                    self.state.best,
                    self.setup.mesh,
                )
                self.progress.note(f"model: {model}")
        self.writers.close()
        loader = self.setup.loader
        return write_report(
            self.folder,
            self.config,
            RunReport(
                status,
                self.step,
                self.first_step,
                self.goodput.summary(),
                self.setup.parameters(),
                int(self.state.skipped),
                loader.damaged,
                loader.state()["drawn"],
                self.fallbacks,
                {"held-out": self.checks.summary()},
            ),
        )

    def _watch(self, step: int, values: dict[str, float]) -> None:
        """Every step's numbers, a little later; too many bad ones in a row end the run."""
        limit = self.config.checkpoint.max_bad_steps
        if values["bad"] < limit:
            return
        keys = [
            key for number, names in self.recent if step - limit < number <= step for key in names
        ]
        shown = ", ".join(keys[:20]) + (f" and {len(keys) - 20} more" if len(keys) > 20 else "")
        raise TrainingError(
            f"step {step}: loss or gradient was NaN or Inf for {limit} updates in a row, none of which changed the "
            f"weights; lower the learning rate, or look at these records: {shown}"
        )
