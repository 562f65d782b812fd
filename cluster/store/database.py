"""An open database, and what a transaction is: every read is one, and every batch of writes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from cluster.errors import InfernetError
from cluster.store.failures import DatabaseUnavailable, translated
from cluster.store.open import open_engine

R = TypeVar("R")

Query = Callable[[Connection], R]
Write = Callable[[Connection], R]


class Database:
    """May be used by many threads at once; each read and each batch of writes has a connection of its own."""

    def __init__(self, url: str) -> None:
        """Opens the database and brings its schema up to date. Raises `StartError` if it cannot."""
        self._engine = open_engine(url)

    def read(self, query: Query[R]) -> R:
        """What `query` answers."""
        with translated(), self._engine.connect() as connection:
            return query(connection)

    def commit(self, writes: Sequence[Write[R]]) -> list[R | Exception]:
        """Carries out `writes` in order, in one transaction, durably. Answers what each one answers, or its error.

        A write refuses by raising an `InfernetError` before it has changed anything; the others go on. If one fails
        otherwise, each is retried in a transaction of its own, so that only the bad one does. If the database is
        unavailable, `DatabaseUnavailable` is raised for all of them.
        """
        try:
            return self._commit(writes)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - answered to the one who asked for it
            return [error] if len(writes) == 1 else [self._commit_alone(write) for write in writes]

    def close(self) -> None:
        self._engine.dispose()

    def _commit_alone(self, write: Write[R]) -> R | Exception:
        try:
            return self._commit([write])[0]
        except Exception as error:  # noqa: BLE001 - answered to the one who asked for it
            return error

    def _commit(self, writes: Sequence[Write[R]]) -> list[R | Exception]:
        with translated(), self._engine.begin() as connection:
            return [_answer(write, connection) for write in writes]


def _answer(write: Write[R], connection: Connection) -> R | Exception:
    try:
        return write(connection)
    except InfernetError as refusal:
        return refusal
