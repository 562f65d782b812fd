"""An open database, and what a transaction is: every read is one, and every batch of writes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from cluster.store.engine import open_engine
from cluster.store.errors import DatabaseUnavailable, translated

R = TypeVar("R")

Query = Callable[[Connection], R]
Write = Callable[[Connection], None]


class Database:
    """May be used by many threads at once; each read and each batch of writes has a connection of its own."""

    def __init__(self, url: str) -> None:
        """Opens the database and brings its schema up to date. Raises `StartError` if it cannot."""
        self._engine = open_engine(url)

    def read(self, query: Query[R]) -> R:
        """What `query` answers."""
        with translated(), self._engine.connect() as connection:
            return query(connection)

    def commit(self, writes: Sequence[Write]) -> list[Exception | None]:
        """Carries out `writes` in order, in one transaction, durably. Answers each one's error, or None.

        If one of them fails, each is retried in a transaction of its own, so that only the bad one does. If
        the database is unavailable, `DatabaseUnavailable` is raised for all of them.
        """
        try:
            self._commit(writes)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - answered to the one who asked for it
            return [error] if len(writes) == 1 else [self._commit_alone(write) for write in writes]
        return [None] * len(writes)

    def close(self) -> None:
        self._engine.dispose()

    def _commit_alone(self, write: Write) -> Exception | None:
        try:
            self._commit([write])
        except Exception as error:  # noqa: BLE001 - answered to the one who asked for it
            return error
        return None

    def _commit(self, writes: Sequence[Write]) -> None:
        with translated(), self._engine.begin() as connection:
            for write in writes:
                write(connection)
