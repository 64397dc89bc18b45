"""Damaged records: counted, named once, and too many of them stop the run."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from dynamicid_jax.errors import InputError

logger = logging.getLogger("dynamicid_jax")

LISTED = 20  # in a message
ALONE = threading.RLock()  # held by whoever opens files or looks again
T = TypeVar("T")


def read_twice(read: Callable[[], T], forget: Callable[[], None]) -> T:
    """What `read` gives; where it fails, once more and with nobody else opening files.

    Only what fails twice is damaged. A passing fault (a busy disk, a library that another thread is still importing)
    must not be taken for damage: the run would draw other examples than the same run did elsewhere.

    Args:
        read: may raise anything; the second time it does, that is passed on.
        forget: lets go of open readers, which may stay broken after an error.
    """
    try:
        return read()
    except Exception:
        with ALONE:
            forget()
            return read()


class Damage:
    """What was damaged among what was read.

    Attributes:
        keys: of the damaged records, in the order met.
        drawn: records handed out.
    """

    def __init__(self, limit: float, records: int) -> None:
        """See `add`.

        Args:
            limit: share of damaged records above which it raises.
            records: that there are at all; reading them again does not make more of them.
        """
        self.limit, self.records = limit, records
        self.keys: list[str] = []
        self.drawn = 0
        self._known: set[str] = set()

    def add(self, messages: Iterable[tuple[str, str]], drawn: int) -> None:
        """Counts what was read since the last call.

        Args:
            messages: key and message of every damaged record that was met.
            drawn: records handed out.

        Raises:
            InputError: more than `limit` of the records read are damaged, and at least two.
        """
        self.drawn += drawn
        for key, message in messages:
            if key not in self._known:
                self.remember([key])
                logger.warning("damaged record replaced by another one: %s", message)
        seen = min(self.drawn + len(self.keys), self.records)
        if len(self.keys) >= 2 and len(self.keys) > self.limit * seen:
            raise InputError(self.list())

    def remember(self, keys: Iterable[str]) -> None:
        """Counts records without a word: after a restart."""
        for key in keys:
            if key not in self._known:
                self._known.add(key)
                self.keys.append(key)

    def list(self) -> str:
        """One line that names the damaged records."""
        named = ", ".join(self.keys[:LISTED])
        more = f" and {len(self.keys) - LISTED} more" if len(self.keys) > LISTED else ""
        return (
            f"{len(self.keys)} damaged records among about {max(self.drawn, len(self.keys))} read, more than "
            f"data.max_damaged={self.limit:g} allows: {named}{more}; prepare the dataset again"
        )
