"""The connections that calls are using now, and how one that gets no answer is cut off.

A server that is frozen, or a network that drops everything, answers nothing, and no time limit of the server's own
helps: the thread that waits would wait for ever. Shutting the socket down from another thread ends its wait at once.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from sqlalchemy import Connection

from cluster.clock import Clock


class _Line(Protocol):
    """What lies between a thread that waits and its database."""

    began_s: float

    def cut(self) -> None: ...
    def close(self) -> None: ...


class InUse:
    """May be used by many threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic_s
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()

    @contextmanager
    def during(self, connection: Connection) -> Iterator[None]:
        """While this lasts, `cut` finds the connection."""
        line = _line(connection, self._now_s())
        with self._lock:
            self._lines.add(line)
        try:
            yield
        finally:
            with self._lock:
                self._lines.discard(line)
                line.close()

    def cut(self, longer_than_s: float) -> None:
        """Break what has been in use for longer than this. Who waits there gets an error now."""
        before_s = self._now_s() - longer_than_s
        with self._lock:
            for line in self._lines:
                if line.began_s < before_s:
                    line.cut()


class _Socket:
    """A server's. The descriptor is our own: the connection's may be closed, and its number given away, meanwhile."""

    def __init__(self, fileno: int, began_s: float) -> None:
        self.began_s = began_s
        self._socket = socket.socket(fileno=os.dup(fileno))

    def cut(self) -> None:
        # An error means that it is not connected any more, which is what was wanted.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


class _Query:
    """What a thread is doing itself, in SQLite."""

    def __init__(self, interrupt: Callable[[], None], began_s: float) -> None:
        self.began_s = began_s
        self._interrupt = interrupt

    def cut(self) -> None:
        self._interrupt()

    def close(self) -> None:
        """Nothing is held."""


def _line(connection: Connection, began_s: float) -> _Line:
    driven: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        return _Query(driven.interrupt, began_s)
    if driven.closed:
        return _Query(_nothing, began_s)  # whatever is asked of it fails at once
    return _Socket(driven.fileno(), began_s)


def _nothing() -> None:
    pass
