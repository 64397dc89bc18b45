"""What visits hold: photos and pictures, in memory alone. A visit ends by request, or when it is silent for long."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from dynamicid_jax.app.limits import BusyError, Limits
from dynamicid_jax.app.photos import Photo, new_id
from dynamicid_jax.app.studio import Picture
from dynamicid_jax.errors import InputError


class GoneError(InputError):
    """There is no such visit, photo, job or picture, or it has ended."""


@dataclass(eq=False)
class Visit:
    """One visitor's things.

    Attributes:
        photos: uploaded, by id.
        pictures: made, by id, the newest last.
        touched: the clock when it last gave a sign of life.
        ended: whether it is over; it holds nothing then, and nothing is drawn for it.
        id: its key.
    """

    photos: dict[str, Photo] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    touched: float = 0.0
    ended: bool = False
    id: str = field(default_factory=new_id)

    @property
    def nbytes(self) -> int:
        """What it keeps in memory, about."""
        photos = sum(len(one.data) + len(one.crop) for one in self.photos.values())
        return photos + sum(one.nbytes for one in self.pictures.values())

    def close(self) -> None:
        """Deletes everything; whoever still refers to the visit holds nothing of it."""
        self.ended = True
        self.photos.clear()
        self.pictures.clear()


class Visits:
    """All visits, and the photos that came with the package. Safe to be called from several threads."""

    def __init__(
        self,
        limits: Limits,
        packaged: dict[str, Photo],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts without visits.

        Args:
            limits: what may be kept.
            packaged: photos that every visit knows, by id.
            clock: seconds; another one in tests.
        """
        self.packaged = packaged
        self._limits, self._clock = limits, clock
        self._visits: dict[str, Visit] = {}
        self._lock = RLock()

    def begin(self) -> Visit:
        """A new visit.

        Raises:
            BusyError: there are as many as the limits allow, and none is silent for long enough.
        """
        with self._lock:
            self.sweep()
            if len(self._visits) >= self._limits.visits:
                raise BusyError("too many visitors at once; try again in some minutes")
            visit = Visit(touched=self._clock())
            self._visits[visit.id] = visit
            return visit

    def get(self, key: str) -> Visit:
        """A visit, which gives a sign of life by being asked for.

        Raises:
            GoneError: it has ended.
        """
        with self._lock:
            self.sweep()
            visit = self._visits.get(key)
            if visit is None:
                raise GoneError("this visit has ended; reload the page to begin a new one")
            visit.touched = self._clock()
            return visit

    def end(self, key: str) -> None:
        """Deletes a visit and everything in it."""
        with self._lock:
            if key in self._visits:
                self._visits.pop(key).close()

    def sweep(self) -> None:
        """Ends the visits that were silent for too long."""
        with self._lock:
            latest = self._clock() - self._limits.idle_seconds
            for key in [key for key, one in self._visits.items() if one.touched < latest]:
                self.end(key)

    def add_photo(self, visit: Visit, photo: Photo) -> None:
        """Keeps an uploaded photo.

        Raises:
            InputError: the visit has as many as it may.
            BusyError: all visits together keep as much as the server may.
        """
        with self._lock:
            self.check_room(visit)
            visit.photos[photo.id] = photo

    def check_room(self, visit: Visit) -> None:
        """Raises as `add_photo`."""
        if len(visit.photos) >= self._limits.photos:
            raise InputError(f"photos: {self._limits.photos} at most; remove one first")
        if sum(one.nbytes for one in self._visits.values()) > self._limits.kept_bytes:
            raise BusyError("the server keeps as many photos as it can; try again in some minutes")

    def photo(self, visit: Visit, key: str) -> Photo:
        """A photo of the visit or of the package.

        Raises:
            GoneError: there is none of that id.
        """
        found = visit.photos.get(key) or self.packaged.get(key)
        if found is None:
            raise GoneError(f"photo {key[:40]!r}: not in this visit; upload it again")
        return found

    def add_picture(self, visit: Visit, picture: Picture) -> None:
        """Keeps a picture; the oldest beyond the limit goes."""
        with self._lock:
            visit.pictures[picture.id] = picture
            while len(visit.pictures) > self._limits.results:
                del visit.pictures[next(iter(visit.pictures))]

    def picture(self, visit: Visit, key: str) -> Picture:
        """A picture of the visit.

        Raises:
            GoneError: there is none of that id, or newer ones took its place.
        """
        found = visit.pictures.get(key)
        if found is None:
            raise GoneError("this picture is not kept any more; make it again")
        return found

    def to_json(self, visit: Visit) -> dict[str, Any]:
        """A visit as the page shows it after a reload."""
        return {
            "visit": visit.id,
            "photos": [one.to_json() for one in list(visit.photos.values())],
            "pictures": [one.to_json() for one in list(visit.pictures.values())],
        }
