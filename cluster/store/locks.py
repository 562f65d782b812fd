"""Locks by which a system shows that it lives, so that a second one on the same database is refused at once.

They say who is there, not who may write: that is for the fence in the database (`owner.py`), which also holds when a
lock is lost.
"""

import fcntl
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from cluster.store.failures import translated
from cluster.store.in_use import InUse


class OwnerLock(Protocol):
    """Gone with the process that holds it, however it ends. `hint` is for who does not get it."""

    hint: str

    def take(self) -> bool:
        """Whether it is ours now. One that was lost is taken again; one that is still held is left alone.

        Raises `DatabaseUnavailable`, or OSError for a file that cannot be locked.
        """
        ...

    def release(self) -> None: ...


class FileLock:
    """A locked file, beside a database that is a file."""

    hint = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> bool:
        if self._file is not None and self._is_in_place(self._file):
            return True
        self.release()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return self._is_in_place(file)

    def release(self) -> None:
        # The file stays: who removed it might remove one that another process has just locked.
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_in_place(self, file: int) -> bool:
        """Whether others who want the lock come across this very file."""
        try:
            there, ours = self._path.stat(), os.fstat(file)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


class AdvisoryLock:
    """PostgreSQL's, of the schema that the tables are in. It lives with a connection of its own."""

    hint = ". The lock of a machine that has just died is gone after 15 s"

    def __init__(self, engine: Engine, in_use: InUse) -> None:
        self._engine = engine
        self._in_use = in_use
        self._connection: Connection | None = None

    def take(self) -> bool:
        if self._connection is not None and self._answers(self._connection):
            return True
        self.release()
        with translated():
            # Without transactions: one that is idle would be ended by the server.
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            try:
                with self._in_use.during(connection):
                    taken = bool(connection.scalar(_TRY))
            except BaseException:
                connection.close()
                raise
        if taken:
            self._connection = connection
        else:
            connection.close()
        return taken

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answers(self, connection: Connection) -> bool:
        try:
            with self._in_use.during(connection):
                return connection.scalar(select(1)) == 1
        except SQLAlchemyError:
            return False


# Any number will do that nothing else in the database locks; these are the first letters of our name.
_OURS = int.from_bytes(b"infe")
_TRY = select(func.pg_try_advisory_lock(_OURS, func.hashtext(func.current_schema())))
