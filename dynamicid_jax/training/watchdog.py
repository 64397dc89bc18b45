"""Notices within moments that another process of the run died, and ends this one with one line.

    process 0            listens on a port, which the others learn through JAX's key-value store
    process 1 .. n - 1   each holds one connection to process 0

    a connection closes without a farewell    the process behind it was killed: at once
    nothing heard for `timeout` seconds       it hangs, or its machine or network is gone

A process in a collective operation waits inside compiled code, where no exception can reach it; therefore `os._exit`.
JAX has heartbeats of its own, but ends a process with a page of C++ stack, and after minutes. They stay as a second
net, for instance where a firewall keeps the watchdog's port closed.
"""

import atexit
import contextlib
import logging
import os
import selectors
import socket
import sys
import threading
import time
from typing import NoReturn

import jax
from jax._src import distributed as jax_distributed  # the only access to the key-value store

log = logging.getLogger("dynamicid_jax")

KEY = "dynamicid/watchdog"
EXIT_CODE = 3
BEATS = 5  # signs of life per timeout
LIMIT = 2000  # bytes of a reason

# a message is one line: its first letter says what it is
ALIVE, FAREWELL, FAILED = b".", b"b", b"f"


class Watchdog:
    """Watches the other processes from a thread of its own, from creation to the end of the process."""

    def __init__(self, timeout: float) -> None:
        """Connects the processes; called by all of them.

        Args:
            timeout: seconds of silence after which a process counts as dead.
        """
        self._timeout = timeout
        self._index, self._count = jax.process_index(), jax.process_count()
        self._peers: dict[
            socket.socket, int
        ] = {}  # stay open to the end: closing one means death to the other side
        self._heard: dict[socket.socket, float] = {}  # of those that have not said farewell
        self._lock = threading.Lock()
        self._failing = False
        self._selector = selectors.DefaultSelector()
        try:
            self._meet()
        except OSError as error:
            log.warning(
                "no watchdog (%s): a dead process is noticed by JAX's heartbeats only", error
            )
            return
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        atexit.register(self.close)

    def fail(self, reason: str) -> None:
        """Tells the others that this process stops, and why; what they do then is no longer watched."""
        self._failing = True
        self._send(FAILED + reason.encode()[:LIMIT] + b"\n")

    def close(self) -> None:
        """Says farewell: from now on the connection may close."""
        self._send(FAREWELL + b"\n")

    def _meet(self) -> None:
        """Process 0 accepts all others, each of which says its number first."""
        store = jax_distributed.global_state.client
        assert store is not None
        if self._index == 0:
            with socket.create_server(("", 0), backlog=self._count) as server:
                server.settimeout(self._timeout)
                store.key_value_set(KEY, str(server.getsockname()[1]))
                while len(self._peers) < self._count - 1:
                    connection, _ = server.accept()
                    connection.settimeout(self._timeout)
                    if number := _line(connection):
                        self._add(connection, int(number))
        else:
            address = str(jax_distributed.global_state.coordinator_address)
            port = store.blocking_key_value_get(KEY, int(1000 * self._timeout))
            host = address.rpartition(":")[0].strip("[]")
            connection = socket.create_connection((host, int(port)), self._timeout)
            connection.sendall(f"{self._index}\n".encode())
            self._add(connection, 0)

    def _add(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[connection], self._heard[connection] = number, time.monotonic()
        self._selector.register(connection, selectors.EVENT_READ)

    def _watch(self) -> None:
        pause = self._timeout / BEATS
        beat = time.monotonic()
        while self._heard:
            for key, _ in self._selector.select(max(beat + pause - time.monotonic(), 0)):
                self._read(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered
            now = time.monotonic()
            if now >= beat + pause:
                beat = now
                self._send(ALIVE + b"\n")
                for connection, last in self._heard.items():
                    if now - last > self._timeout:
                        self._end(
                            self._peers[connection],
                            f"has been silent for {self._timeout:.0f} seconds",
                        )

    def _read(self, connection: socket.socket) -> None:
        number = self._peers[connection]
        try:
            text = connection.recv(2 * LIMIT)
        except OSError:
            text = b""
        if not text:
            self._end(number, "was killed or has crashed")
        self._heard[connection] = time.monotonic()
        for line in text.splitlines():
            if line.startswith(FAILED):
                self._end(number, f"stopped: {line[1:].decode(errors='replace')}")
            if line.startswith(FAREWELL):
                self._selector.unregister(connection)
                del self._heard[connection]
                return

    def _send(self, message: bytes) -> None:
        with self._lock:
            for connection in list(self._peers):
                with contextlib.suppress(OSError):  # the reading side finds out why
                    connection.sendall(message)

    def _end(self, number: int, what: str) -> NoReturn:
        """The one line, then out; in silence where this process is on its way out already."""
        if self._failing:
            sys.exit()  # of the thread
        self._send(FAILED + f"process {number} {what}".encode()[:LIMIT] + b"\n")
        sys.stdout.flush()
        print(
            f"error: process {number} of {self._count} {what}; process {self._index} stops, too. "
            "Start all of them again to resume from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_CODE)


def _line(connection: socket.socket) -> str:
    """What a new connection says first: digits and a line end; "" for a stranger."""
    text = b""
    while not text.endswith(b"\n") and len(text) < 9:
        piece = connection.recv(1)
        if not piece:
            break
        text += piece
    return text.decode(errors="replace").strip() if text.strip().isdigit() else ""
