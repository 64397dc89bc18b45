"""Checkpoints that survive being killed, cut or changed: Orbax writes them, a seal proves them (training/seal.py).

    FOLDER/<step>/state/      every array of the training state, in Orbax's own format
    FOLDER/<step>/extra/      JSON: the caller's extra, and name, shape and dtype of every array
    FOLDER/<step>/seal.json   written after all the rest is in place

    save     copy arrays to the host | then in the background: write, commit (Orbax: rename or commit file), seal, prune
    restore  newest step whose seal holds; those above it are reported, and deleted once a newer one has been sealed

A kill at any moment therefore leaves the last sealed step untouched. Arrays are stored whole, under names, whatever
devices held them, so a checkpoint opens onto any number of devices. Typed PRNG keys are stored as their bits.
"""

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from dynamicid_jax.errors import InputError, OutputError, WeightsError
from dynamicid_jax.training import distributed, seal
from dynamicid_jax.training.named_leaves import describe, nested, plain, put_back, storable, target

log = logging.getLogger("dynamicid_jax")

SCHEMES = (
    "gs",
    "s3",
)  # those that TensorStore writes; it would take any other for a local folder's name

# TensorStore reports a full disk as ValueError; ImportError: a bucket's client is not installed
WRITE_ERRORS = (OSError, ValueError, ImportError)


@dataclass(frozen=True)
class Restored:
    """What a checkpoint held.

    Attributes:
        step: under which it was saved.
        state: like the tree that was asked for; nested dicts of NumPy arrays if none was.
        extra: as it was saved.
        skipped: newer checkpoints that could not be used, newest first, and why.
    """

    step: int
    state: Any
    extra: dict[str, Any]
    skipped: list[tuple[int, str]] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one run.

    With several processes all methods are called by all of them, in the same order, and the folder is one that all
    see (a shared disk or a bucket).
    """

    def __init__(self, folder: epath.PathLike, keep: int = 3) -> None:
        """Opens a folder, without changing anything in it.

        Args:
            folder: made when the first checkpoint is saved; local, or gs:// or s3://.
            keep: how many sealed checkpoints stay; at least 1.

        Raises:
            InputError: a folder of another scheme.
        """
        scheme, separator, _ = os.fspath(folder).partition("://")
        if separator and scheme not in SCHEMES:
            raise InputError(
                f"{folder}: checkpoints go to local folders, {' and '.join(f'{s}://' for s in SCHEMES)}, not {scheme}://"
            )
        self.folder = epath.Path(folder)
        if not separator:
            self.folder = self.folder.resolve()  # Orbax takes absolute paths only
        self.keep = max(keep, 1)
        self._last: int | None = None  # step saved or restored last
        self._useless: set[int] = set()  # found damaged; deleted once a newer one is sealed
        self._sealing: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._swept = False
        parts = {"state": ocp.PyTreeCheckpointHandler(), "extra": ocp.JsonCheckpointHandler()}
        self._orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(**parts))

    def save(self, step: int, state: Any, extra: dict[str, Any]) -> bool:
        """Saves in the background; the state may be changed or donated as soon as this returns.

        Args:
            step: updates done; saving the same one again does nothing.
            state: pytree of arrays.
            extra: what JSON can hold.

        Returns:
            Whether there was something to do.

        Raises:
            OutputError: the checkpoint before could not be written.
        """
        self.wait()
        if step == self._last:
            return False
        args = ocp.args.Composite(
            state=ocp.args.PyTreeSave(nested(storable(state))),
            extra=ocp.args.JsonSave({"extra": extra, "arrays": describe(state)}),
        )
        try:
            if jax.process_index() == 0:
                self._make_room(step)
            self._orbax.save(self.folder / str(step), args)
        except WRITE_ERRORS as error:
            raise self._cannot_write(step, error) from error
        self._last = step
        self._sealing = threading.Thread(target=self._finish, args=(step,), name="seal")
        self._sealing.start()
        return True

    def restore(self, like: Any = None) -> Restored | None:
        """The newest intact checkpoint.

        Args:
            like: pytree whose leaves say shape, dtype and sharding (arrays or `jax.ShapeDtypeStruct`) that the state
                shall have; NumPy leaves come back as NumPy. None reads everything as NumPy arrays.

        Returns:
            None if no checkpoint was ever finished here.

        Raises:
            WeightsError: every checkpoint is damaged, or the state is of another model than `like`.
        """
        self.wait()
        chosen = distributed.from_first(self._choose)
        self._useless = {step for step, _ in chosen["skipped"]}
        step = chosen["step"]
        if step is None:
            if any(why != seal.UNSEALED for _, why in chosen["skipped"]):
                raise WeightsError(
                    f"{self.folder}: none of the checkpoints is intact (the newest, {chosen['skipped'][0][0]}, "
                    f"{chosen['skipped'][0][1]}); restore them from a copy, or empty the folder to start anew"
                )
            for step, why in chosen["skipped"]:
                log.warning("%s %s; starting anew", self.folder / str(step), why)
            return None
        stored = self._orbax.restore(
            self.folder / str(step), ocp.args.Composite(extra=ocp.args.JsonRestore())
        )["extra"]
        state = self._read(step, stored["arrays"], like)
        self._last = step
        return Restored(step, state, stored["extra"], [tuple(pair) for pair in chosen["skipped"]])

    def latest(self) -> int | None:
        """The newest sealed step, without looking into it."""
        self.wait()
        return next(
            (step for step in self._steps() if seal.is_sealed(self.folder / str(step))), None
        )

    def wait(self) -> None:
        """Returns when nothing is being written any more.

        Raises:
            OutputError: what was being written could not be.
        """
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if not isinstance(failure, WRITE_ERRORS):
                raise failure
            raise self._cannot_write(self._last, failure) from failure

    def close(self) -> None:
        """Waits for what is being written, and ends Orbax's threads."""
        try:
            self.wait()
        finally:
            self._orbax.close()

    def _finish(self, step: int) -> None:
        """In the background: waits for Orbax's commit, then seals and prunes."""
        try:
            self._orbax.wait_until_finished()
            if jax.process_index() == 0:
                seal.write_seal(self.folder / str(step))
                self._prune(step)
        except BaseException as error:  # raised by the next call from the caller's own thread
            self._failure = error

    def _prune(self, sealed: int) -> None:
        """Deletes what is not among the newest sealed ones, and what was found damaged."""
        steps = [step for step in self._steps() if step not in self._useless]
        kept = [step for step in steps if seal.is_sealed(self.folder / str(step))][: self.keep]
        for step in self._steps():
            if step not in kept and (step < sealed or step in self._useless) and step != sealed:
                seal.remove(self.folder / str(step))
        self._useless = set()

    def _choose(self) -> dict[str, Any]:
        """The newest intact step, and those above it with what is wrong with them."""
        skipped: list[tuple[int, str]] = []
        for step in self._steps():
            why = seal.damage(self.folder / str(step))
            if why is None:
                return {"step": step, "skipped": skipped}
            skipped.append((step, why))
        return {"step": None, "skipped": skipped}

    def _read(self, step: int, arrays: dict[str, Any], like: Any) -> Any:
        where = self.folder / str(step)
        wanted = plain(arrays) if like is None else target(like, arrays, str(where))
        tree = nested(wanted)
        args = ocp.args.PyTreeRestore(
            item=tree, restore_args=ocp.checkpoint_utils.construct_restore_args(tree)
        )
        found = self._orbax.restore(where, ocp.args.Composite(state=args))["state"]
        return found if like is None else put_back(found, like)

    def _steps(self) -> list[int]:
        """All finished steps, sealed or not, newest first."""
        if not self.folder.exists():
            return []
        return sorted(
            (int(e.name) for e in self.folder.iterdir() if e.name.isdecimal()), reverse=True
        )

    def _make_room(self, step: int) -> None:
        """Deletes what killed savings left behind, and an unsealed or damaged checkpoint of this very step."""
        if not self._swept:
            self.folder.mkdir(parents=True, exist_ok=True)
            for entry in self.folder.iterdir():
                if ".orbax-checkpoint-tmp" in entry.name:
                    entry.rmtree(missing_ok=True)
            self._swept = True
        if (self.folder / str(step)).exists():
            seal.remove(self.folder / str(step))

    def _cannot_write(self, step: int | None, error: BaseException) -> OutputError:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return OutputError(f"{self.folder / str(step)}: the checkpoint cannot be written: {reason}")
