"""Where a database keeps its data, as far as this process can see it: a file, or a server that sees to that itself."""

import os
from pathlib import Path
from typing import Protocol

from cluster.errors import DatabaseUnavailable

_ROOM_BYTES = 1 << 20
"""The largest body of a submission: where that has no room, none of the usual size may have any much longer."""


class Disk(Protocol):
    def require_file(self) -> None:
        """Raises `DatabaseUnavailable` when what is written now would not be found at the next start."""
        ...

    def require_room(self) -> None:
        """Raises `DatabaseUnavailable` when a job may have no room."""
        ...


class ServersDisk:
    """A server's: it says by itself when it is full."""

    def require_file(self) -> None:
        return

    def require_room(self) -> None:
        return


class FilesDisk:
    """Of an SQLite file, which is there when this is made.

    SQLite writes on into a file that somebody has removed, or has put another one in the place of, and all of that is
    gone with the process.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._identity = _identity(file)

    def require_file(self) -> None:
        try:
            is_in_place = _identity(self._file) == self._identity
        except OSError:
            is_in_place = False
        if not is_in_place:
            raise DatabaseUnavailable("its file has been moved or removed, or another one is in its place")

    def require_room(self) -> None:
        disk = os.statvfs(self._file.parent)
        if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
            raise DatabaseUnavailable("its disk is full")


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino
