"""A bounded queue of wishes and the one thread that draws them: one model in memory, one picture at a time.

    waiting -> running -> done | failed | cancelled

At the start, while nobody waits, the thread compiles what most visitors ask for (`Studio.warm_ups`). With
`Studio.batch` above 1, waiting wishes of equal shape are drawn in one compiled call; such a call shows no steps and
cannot be cancelled once it runs. Whatever goes wrong in one job is that job's end and nothing else's.
"""

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any

from PIL import Image

from dynamicid_jax.app.limits import BusyError, Limits
from dynamicid_jax.app.photos import Photo, new_id, png
from dynamicid_jax.app.studio import Studio
from dynamicid_jax.app.visits import GoneError, Visit, Visits
from dynamicid_jax.app.wishes import Wish
from dynamicid_jax.errors import DynamicIDError

LOG = logging.getLogger(__name__)
ACTIVE = ("waiting", "running")
KEPT_JOBS = 256  # finished ones that can still be asked about
BROKEN = (
    "something broke while this was drawn; it has been logged, and the next request will be served"
)


class CancelledError(Exception):
    """Raised between steps of a job that is not wanted any more."""


@dataclass(eq=False)
class Job:
    """One wish on its way.

    Attributes:
        visit: whose.
        wish: checked.
        said: the JSON that it came as.
        photos: all that it names, taken when it was asked for: a photo removed later does not stop it.
        state: see above.
        done, steps: how far.
        preview: a rough PNG.
        previews: how many there were.
        pictures: ids of what is made.
        error: why it failed.
        id: its key.
    """

    visit: Visit
    wish: Wish
    said: dict[str, Any]
    photos: Mapping[str, Photo]
    state: str = "waiting"
    done: int = 0
    steps: int = 0
    preview: bytes = b""
    previews: int = 0
    pictures: list[str] = field(default_factory=list)
    error: str = ""
    id: str = field(default_factory=new_id)
    unwanted: Event = field(default_factory=Event)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it: neither is it taken back, nor has its visit ended."""
        return not self.unwanted.is_set() and not self.visit.ended

    def tell(self, done: int, steps: int) -> None:
        """Progress; raises `CancelledError` where nobody wants the job any more."""
        self.done, self.steps = done, steps
        if not self.wanted:
            raise CancelledError

    def show(self, image: Image.Image) -> None:
        """A rough preview."""
        self.preview = png(image)
        self.previews += 1


class Jobs:
    """The queue. `add`, `cancel` and `get` may be called from any thread."""

    def __init__(self, studio: Studio, visits: Visits, limits: Limits) -> None:
        """Starts the drawing thread."""
        self._studio, self._visits, self._limits = studio, visits, limits
        self._cold = deque(studio.warm_ups())
        self._waiting: deque[Job] = deque()
        self._jobs: dict[str, Job] = {}
        self._change = Condition()
        self._closed = False
        self._thread = Thread(target=self._work, name="drawing", daemon=True)
        self._thread.start()

    def add(self, visit: Visit, wish: Wish, said: dict[str, Any]) -> Job:
        """Queues a wish.

        Raises:
            BusyError: too many wait, of all visits or of this one.
            GoneError: it names a photo that is not there.
        """
        keys = {key for person in wish.people for key in person.all_photos}
        photos = {key: self._visits.photo(visit, key) for key in keys}
        with self._change:
            own = sum(job.visit is visit and job.state in ACTIVE for job in self._jobs.values())
            if own >= self._limits.queue_per_visit:
                raise BusyError(
                    f"{own} of your pictures wait already; let one finish, or cancel it"
                )
            if len(self._waiting) >= self._limits.queue:
                raise BusyError("many pictures wait already; try again in a minute")
            job = Job(visit, wish, said, photos)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._forget()
            self._change.notify_all()
            return job

    def get(self, visit: Visit, key: str) -> Job:
        """A job of the visit.

        Raises:
            GoneError: there is none of that id, or it ended long ago.
        """
        job = self._jobs.get(key)
        if job is None or job.visit is not visit:
            raise GoneError("this request is not known any more")
        return job

    def of(self, visit: Visit) -> list[Job]:
        """The visit's jobs that wait or run, the oldest first."""
        with self._change:
            return [
                job for job in self._jobs.values() if job.visit is visit and job.state in ACTIVE
            ]

    def cancel(self, job: Job) -> None:
        """A waiting job ends at once, a running one between two steps."""
        with self._change:
            job.unwanted.set()
            if job.state == "waiting":
                job.state = "cancelled"
                self._waiting.remove(job)

    def end(self, visit: Visit) -> None:
        """Cancels all of a visit's jobs and forgets them."""
        for job in self.of(visit):
            self.cancel(job)
        with self._change:
            for key in [key for key, job in self._jobs.items() if job.visit is visit]:
                del self._jobs[key]

    def ahead(self, job: Job) -> int:
        """How many jobs are drawn before this one."""
        with self._change:
            return self._waiting.index(job) + 1 if job in self._waiting else 0

    def close(self) -> None:
        """Cancels everything and ends the thread."""
        with self._change:
            self._closed = True
            for job in self._jobs.values():
                job.unwanted.set()
            self._change.notify_all()
        self._thread.join()

    def to_json(self, job: Job) -> dict[str, Any]:
        """How a job stands."""
        return {
            "job": job.id,
            "state": job.state,
            "ahead": self.ahead(job),
            "done": job.done,
            "steps": job.steps,
            "previews": job.previews,
            "pictures": list(job.pictures),
            "error": job.error,
        }

    def _forget(self) -> None:
        """Drops the oldest finished jobs beyond `KEPT_JOBS`."""
        ended = [key for key, job in self._jobs.items() if job.state not in ACTIVE]
        for key in ended[: max(0, len(ended) - KEPT_JOBS)]:
            del self._jobs[key]

    def _work(self) -> None:
        """The drawing thread."""
        while batch := self._next():
            try:
                self._draw(batch)
                self._end(batch, "done")
            except CancelledError:
                self._end(batch, "cancelled")
            except DynamicIDError as error:
                self._end(batch, "failed", str(error))
            except Exception:
                LOG.exception("a job broke")
                self._end(batch, "failed", BROKEN)

    def _warm_up(self) -> None:
        """One program after the other, as long as nobody waits."""
        while self._cold and not self._waiting and not self._closed:
            try:
                self._cold.popleft()()
            except Exception:
                LOG.exception("compiling ahead broke; the first visitor will wait for it")

    def _next(self) -> list[Job]:
        """Waits for the next job, and takes others of its shape along; empty at the end."""
        self._warm_up()
        with self._change:
            self._change.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return []
            first = self._waiting.popleft()
            batch = [first]
            if first.wish.shape is not None and self._studio.batch > 1:
                alike = [job for job in self._waiting if job.wish.shape == first.wish.shape]
                batch += alike[: self._studio.batch - 1]
                for job in batch[1:]:
                    self._waiting.remove(job)
            for job in batch:
                job.state = "running"
            return batch

    def _draw(self, batch: list[Job]) -> None:
        if len(batch) > 1:
            parts = [[getattr(job, name) for job in batch] for name in ("wish", "said", "photos")]
            for job, picture in zip(batch, self._studio.draw_together(*parts), strict=True):
                self._keep(job, picture)
            return
        (job,) = batch
        job.tell(0, 0)
        self._studio.draw(
            job.wish,
            job.said,
            job.photos,
            keep=lambda picture: self._keep(job, picture),
            tell=job.tell,
            show=job.show,
        )

    def _keep(self, job: Job, picture: Any) -> None:
        if job.wanted:
            self._visits.add_picture(job.visit, picture)
            job.pictures.append(picture.id)

    def _end(self, batch: list[Job], state: str, error: str = "") -> None:
        with self._change:
            for job in batch:
                job.state, job.error = state, error
                job.preview, job.photos = b"", {}  # photos live no longer than their visit
