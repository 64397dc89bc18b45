"""Numbers and pictures of a run, on disk: metrics.jsonl, TensorBoard event files, PNGs.

    WORKDIR/metrics.jsonl              {"step": 50, "time": 1.7e9, "loss": 0.12, ...}, one line per call of `scalars`
    WORKDIR/tensorboard/events.out...  the same for TensorBoard, pictures included
    WORKDIR/pictures/00000050-NAME.png

A run that starts again at step s cuts off what a broken run wrote after s, so that no step is told twice; TensorBoard
is told to forget those steps, too. Values that are not finite are null in the JSON, which has no word for them.

Object stores (gs:// and the like) cannot append: there both files come as numbered parts, a new one every
`PART_SECONDS`, and a restart joins the parts of metrics.jsonl. Metrics never end a run: where they cannot be written
(a full disk), one line says so, and writing is tried again the next time.
"""

import json
import logging
import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from dynamicid_jax.provenance.operator import Operator
from dynamicid_jax.provenance.png import png_bytes
from dynamicid_jax.types import Number

METRICS = "metrics.jsonl"
EVENTS = "tensorboard"
PICTURES = "pictures"
PART_SECONDS = 300.0

_log = logging.getLogger("dynamicid_jax")


def read_metrics(workdir: Any) -> list[dict[str, Number]]:
    """What a run has told so far: one dict per step, in order of steps.

    Several lines of one step are joined, the last value of a name wins; null comes back as nan; a last line cut short
    by a crash is left out.

    Args:
        workdir: the run's folder, or a metrics.jsonl itself.
    """
    path = epath.Path(workdir)
    files = _parts(path) if path.is_dir() else [path]
    steps: dict[int, dict[str, Number]] = {}
    for file in files:
        for line in file.read_bytes().splitlines():
            if (values := _parse(line)) is not None:
                steps.setdefault(int(values["step"]), {}).update(values)
    return [steps[step] for step in sorted(steps)]


def last_sign_of_life(workdir: Any) -> float | None:
    """When (as of time.time) a run last told anything; None where there is nothing. Ask before `Writers` cut lines."""
    folder = epath.Path(workdir)
    times = (
        [line["time"] for line in read_metrics(folder) if "time" in line] if folder.is_dir() else []
    )
    return float(max(times)) if times else None


class Writers:
    """Writes what a run tells; only process 0 does, the others' calls do nothing."""

    def __init__(
        self,
        workdir: Any,
        tensorboard: bool = True,
        *,
        start_step: int = 0,
        active: bool | None = None,
    ) -> None:
        """Opens the files of a run that continues after `start_step`.

        Args:
            workdir: the run's folder; made if need be.
            tensorboard: whether to write event files, too.
            start_step: the step of the checkpoint that the run continues from; lines after it are cut off.
            active: whether this process writes; None: whether it is process 0.
        """
        self.active = jax.process_index() == 0 if active is None else active
        self.workdir = epath.Path(workdir)
        self._failing: set[str] = set()
        self._metrics = _Stream(self.workdir, METRICS)
        self._events: _Events | None = None
        if not self.active:
            return
        with self._telling("metrics"):
            self.workdir.mkdir(parents=True, exist_ok=True)
            self._cut(start_step)
        if tensorboard:
            self._events = _open_events(self.workdir / EVENTS, start_step)

    def scalars(self, step: int, values: Mapping[str, Number]) -> None:
        """Writes numbers of one step; "group/name" groups them in TensorBoard."""
        if not self.active or not values:
            return
        numbers = {name: float(value) for name, value in values.items()}
        known = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
        line = json.dumps({"step": step, "time": round(time.time(), 3), **known})
        with self._telling("metrics"):
            self._metrics.write(line.encode() + b"\n")
        if self._events is not None:
            with self._telling("TensorBoard's events"):
                self._events.scalars(step, numbers)

    def picture(
        self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"] | Image.Image
    ) -> None:
        """Writes a picture of one step, as a PNG that says that it was generated, and for TensorBoard."""
        if not self.active:
            return
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        data = png_bytes(image, operator=Operator())  # never signed: nobody publishes these
        with self._telling("pictures"):
            folder = self.workdir / PICTURES
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{step:08d}-{name.replace('/', '-')}.png").write_bytes(data)
        if self._events is not None:
            with self._telling("TensorBoard's events"):
                self._events.picture(step, name, image.size, data)

    def flush(self) -> None:
        """Writes what is still held back for an object store; the loop calls it with every checkpoint."""
        if not self.active:
            return
        with self._telling("metrics"):
            self._metrics.flush()
        if self._events is not None:
            with self._telling("TensorBoard's events"):
                self._events.flush()

    def close(self) -> None:
        """The same, at the end."""
        self.flush()

    def _cut(self, step: int) -> None:
        """Removes lines after `step`, and whatever a crash left of a last line."""
        files = [file for file in _parts(self.workdir) if file.exists()]
        kept: list[bytes] = []
        for line in b"".join(file.read_bytes() for file in files).splitlines(keepends=True):
            values = _parse(line)
            if values is not None and values["step"] <= step:
                kept.append(line.rstrip(b"\n") + b"\n")
        content = b"".join(kept)
        whole = [file.name for file in files] == [METRICS] and _local(self.workdir)
        if whole and files[0].read_bytes().startswith(content):
            os.truncate(files[0], len(content))  # needs no room on the disk
        elif files:
            _replace(self.workdir / METRICS, content)
            for file in files:
                if file.name != METRICS:
                    file.unlink()

    def _telling(self, what: str) -> "_Telling":
        return _Telling(self, what)


class _Telling:
    """Turns an OSError into one warning line; no second one before such a thing was written again."""

    def __init__(self, writers: Writers, what: str) -> None:
        self._writers, self._what = writers, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is None:
            self._writers._failing.discard(self._what)
        elif isinstance(error, OSError):
            if self._what not in self._writers._failing:
                why = error.strerror or str(error)
                _log.warning(
                    "%s: %s cannot be written (%s); the run goes on without",
                    self._writers.workdir,
                    self._what,
                    why,
                )
            self._writers._failing.add(self._what)
        return isinstance(error, OSError)


class _Stream:
    """Bytes that grow at the end: one file where files can be appended to, else numbered parts."""

    def __init__(self, folder: epath.Path, name: str, head: bytes = b"") -> None:
        self._folder, self._name, self._head = folder, name, head
        self._local = _local(folder)
        self._held: list[bytes] = []
        self._since = time.monotonic()
        self._part = 0
        self._torn = False

    def write(self, data: bytes) -> None:
        """Appends whole records."""
        if not self._local:
            self._held.append(data)
            if time.monotonic() - self._since > PART_SECONDS:
                self.flush()
            return
        path = self._folder / self._name
        head = self._head if not path.exists() else b"\n" if self._torn and not self._head else b""
        self._torn = True  # until the end of this write
        with path.open("ab") as file:
            file.write(head + data)
        self._torn = False

    @property
    def torn(self) -> bool:
        """Whether the last write broke off, perhaps inside a record."""
        return self._torn

    def flush(self) -> None:
        """Writes the part that is held back."""
        if not self._held:
            return
        stem, dot, suffix = self._name.rpartition(".")
        while (path := self._folder / f"{stem}-{self._part:05d}{dot}{suffix}").exists():
            self._part += 1
        path.write_bytes(self._head + b"".join(self._held))
        self._held, self._since = [], time.monotonic()


class _Events:
    """One TensorBoard event file: records of length, checksum, an Event proto, checksum."""

    def __init__(self, folder: epath.Path, start_step: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

        self._folder = folder
        self._event, self._summary, self._checksum = event_pb2.Event, summary_pb2, masked_crc32c
        self._files = 0
        # Events of a broken run from this step on are dropped by TensorBoard when it reads this.
        begin = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._stream = self._new_file()
        self._add(start_step + 1, session_log=begin)

    def scalars(self, step: int, values: Mapping[str, Number]) -> None:
        """One event with all numbers."""
        value = self._summary.Summary.Value
        entries = [value(tag=name, simple_value=number) for name, number in values.items()]
        self._add(step, summary=self._summary.Summary(value=entries))

    def picture(self, step: int, name: str, size: tuple[int, int], png: bytes) -> None:
        """One event with an encoded picture of (width, height)."""
        image = self._summary.Summary.Image(
            width=size[0], height=size[1], colorspace=3, encoded_image_string=png
        )
        value = self._summary.Summary.Value(tag=name, image=image)
        self._add(step, summary=self._summary.Summary(value=[value]))

    def flush(self) -> None:
        """Writes what is held back."""
        self._stream.flush()

    def _add(self, step: int, **content: Any) -> None:
        if self._stream.torn:
            # TensorBoard reads no further than a broken record, but does go on to the next file.
            self._stream = self._new_file()
        event = self._event(wall_time=time.time(), step=step, **content)
        self._stream.write(self._record(event.SerializeToString()))

    def _new_file(self) -> "_Stream":
        """Names sort by time, which is the order that TensorBoard reads files in."""
        version = self._event(wall_time=time.time(), file_version="brain.Event:2")
        self._files += 1
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{self._files:03d}"
        self._folder.mkdir(parents=True, exist_ok=True)
        return _Stream(self._folder, name, head=self._record(version.SerializeToString()))

    def _record(self, data: bytes) -> bytes:
        length = struct.pack("<Q", len(data))
        sums = [struct.pack("<I", self._checksum(part)) for part in (length, data)]
        return length + sums[0] + data + sums[1]


def _open_events(folder: epath.Path, start_step: int) -> _Events | None:
    """None, and a line that says why, where TensorBoard's files cannot be written."""
    try:
        return _Events(folder, start_step)
    except ImportError:
        _log.warning(
            "TensorBoard is not installed; metrics go to metrics.jsonl alone (pip install tensorboard)"
        )
    except OSError as error:
        _log.warning("%s: cannot be written (%s); no TensorBoard files", folder, error.strerror)
    return None


def _parts(workdir: epath.Path) -> list[epath.Path]:
    """metrics.jsonl and the parts that were not joined with it yet, in order."""
    stem, _, suffix = METRICS.rpartition(".")
    files = sorted(workdir.glob(f"{stem}-*.{suffix}"), key=lambda file: file.name)
    first = workdir / METRICS
    return [first, *files] if first.exists() else files


def _parse(line: bytes) -> dict[str, Number] | None:
    """A line's numbers; None for what is no whole line."""
    try:
        values = json.loads(line)
        numbers = {name: math.nan if x is None else float(x) for name, x in values.items()}
        return {**numbers, "step": int(values["step"])}
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _replace(path: epath.Path, content: bytes) -> None:
    """Writes a file so that nobody sees half of it."""
    if not _local(path):
        path.write_bytes(content)  # an object appears when it is whole
        return
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    os.replace(scratch, path)


def _local(path: epath.Path) -> bool:
    return "://" not in os.fspath(path)
