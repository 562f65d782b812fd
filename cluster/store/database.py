"""An open database, and what a transaction is: every read is one, and every batch of writes."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine

from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import ConnectionLost, DatabaseFailed, DatabaseTaken, DatabaseUnavailable, InfernetError, StartError
from cluster.store import migrations, owner
from cluster.store.disk import Disk, FilesDisk, ServersDisk
from cluster.store.failures import shown, translated
from cluster.store.in_use import InUse
from cluster.store.locks import AdvisoryLock, FileLock, OwnerLock
from cluster.store.open import IMMEDIATE, empty_log, is_sqlite, make_private, open_engine, parse, sqlite_file

R = TypeVar("R")

Query = Callable[[Connection], R]
Write = Callable[[Connection], R]

logger = logging.getLogger(__name__)

_LOCK_STEP_S = 0.1


class Database:
    """May be used by many threads at once; each read and each batch of writes has a connection of its own.

    A call whose connection breaks is made once more, on a new one: queries and writes may be repeated. Whoever opened
    the database last owns it; another one that is still open can read, and every write of it raises `DatabaseTaken`.
    """

    def __init__(self, url: str, clock: Clock = SYSTEM_CLOCK, lock_wait_s: float = 0.0) -> None:
        """Opens the database, takes it over, and brings its schema up to date.

        Waits up to `lock_wait_s` for the system that has it to go. Raises `StartError`, which names the database
        without its password, if that goes on, if it cannot be opened, or if it was written by newer software.
        """
        self._url = parse(url)
        self._engine = open_engine(self._url)
        self._in_use = InUse(clock)
        self._lock = _lock(self._url, self._engine, self._in_use)
        self._epoch = 0
        try:
            with _start_errors(self._url):
                self._disk = _disk(self._url)
                _take(self._lock, self._url, lock_wait_s)
                migrations.upgrade(self._engine)
                self._epoch = self._take_over(clock.wall_ms())
        except BaseException:
            self.close()
            raise

    def read(self, query: Query[R]) -> R:
        """What `query` answers."""
        return _again_if_lost(partial(self._read, query))

    def commit(self, writes: Sequence[Write[R]]) -> list[R | Exception]:
        """Carries out `writes` in order, in one transaction, durably. Answers what each one answers, or its error.

        A write refuses by raising an `InfernetError` before it has changed anything; the others go on. If one fails
        otherwise, each is retried in a transaction of its own, so that only the bad one does. `DatabaseUnavailable`
        and `DatabaseTaken` concern all of them, and are raised. After a `ConnectionLost` they may have been written.
        """
        try:
            return _again_if_lost(partial(self._commit, writes))
        except (DatabaseUnavailable, DatabaseTaken):
            raise
        except Exception as error:  # noqa: BLE001 - answered to the one who asked for it
            return [error] if len(writes) == 1 else self._commit_each(writes)

    def commit_all(self, writes: Sequence[Write[object]]) -> None:
        """Carries out `writes` like `commit`, and raises what kept one of them from being made."""
        for answer in self.commit(writes):
            if isinstance(answer, Exception):
                raise answer

    def keep(self) -> None:
        """Makes sure of the lock, which may have been lost with its connection or its file, and of the database.

        Raises `DatabaseUnavailable`, and `DatabaseTaken` once another system has taken over.
        """
        self.require_room()
        with _lock_errors():
            held = self._lock.take()
        self.read(partial(owner.require, epoch=self._epoch))
        if not held:
            logger.warning("another process holds the lock of the database %s", shown(self._url))

    def require_room(self) -> None:
        """Raises `DatabaseUnavailable` when a job may have no room on its disk."""
        self._disk.require_room()

    def forget(self) -> bool:
        """Has a file hold nothing any more of what has been removed, unless somebody reads it at this moment.

        SQLite writes over what is removed; but its log, beside the file, still has what was there before. A server's is
        its own: https://www.postgresql.org/docs/current/routine-vacuuming.html.
        """
        if not is_sqlite(self._url):
            return True
        with translated(), self._engine.connect() as connection, self._in_use.during(connection):
            return empty_log(connection)

    def cut(self, longer_than_s: float) -> None:
        """Gives up the connections on which a call has been waiting for longer than this: those calls fail now."""
        self._in_use.cut(longer_than_s)

    def close(self) -> None:
        self._lock.release()
        self._engine.dispose()

    def _read(self, query: Query[R]) -> R:
        with self._transaction() as connection:
            return query(connection)

    def _commit_each(self, writes: Sequence[Write[R]]) -> list[R | Exception]:
        """Each in a transaction of its own; once the database is away, the rest is not tried."""
        answers: list[R | Exception] = []
        for number, write in enumerate(writes):
            try:
                answers += self.commit([write])
            except (DatabaseUnavailable, DatabaseTaken) as away:
                return answers + [away] * (len(writes) - number)
        return answers

    def _commit(self, writes: Sequence[Write[R]]) -> list[R | Exception]:
        with self._transaction(**IMMEDIATE) as connection:
            owner.require(connection, self._epoch)
            return [_answer(write, connection) for write in writes]

    @contextmanager
    def _transaction(self, **options: str) -> Iterator[Connection]:
        """A connection with a transaction, which is committed at the end. Until then it can be cut."""
        self._disk.require_file()
        with (
            translated(),
            self._engine.connect().execution_options(**options) as connection,
            self._in_use.during(connection),
            connection.begin(),
        ):
            yield connection

    def _take_over(self, now_ms: int) -> int:
        with self._transaction(**IMMEDIATE) as connection:
            return owner.take_over(connection, now_ms)


def require_free(url: str, lock_wait_s: float = 0.0) -> None:
    """Raises `StartError`, as opening it would, for a database that cannot be reached, or that another system has.

    Leaves it as it is. Waits up to `lock_wait_s` for the system that has it to go.
    """
    parsed = parse(url)
    engine = open_engine(parsed)
    lock = _lock(parsed, engine, InUse(SYSTEM_CLOCK))
    try:
        with _start_errors(parsed):
            _take(lock, parsed, lock_wait_s)
            if is_sqlite(parsed) and sqlite_file(parsed).exists():
                with engine.connect() as connection:
                    connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    finally:
        lock.release()
        engine.dispose()


def is_in_use(url: URL) -> bool:
    """Whether a system has this database now. Raises OSError, and `DatabaseUnavailable`."""
    if is_sqlite(url) and not _lock_file(url).exists():
        return False
    engine = open_engine(url)
    lock = _lock(url, engine, InUse(SYSTEM_CLOCK))
    try:
        return not lock.take()
    finally:
        lock.release()
        engine.dispose()


def _take(lock: OwnerLock, url: URL, wait_s: float) -> None:
    give_up_s = time.monotonic() + wait_s
    while not lock.take():
        if time.monotonic() >= give_up_s:
            raise StartError(
                f"Another system uses the database {shown(url)}, and there can be only one: stop that one "
                f"first{lock.hint}"
            )
        time.sleep(_LOCK_STEP_S)


def _lock(url: URL, engine: Engine, in_use: InUse) -> OwnerLock:
    return FileLock(_lock_file(url)) if is_sqlite(url) else AdvisoryLock(engine, in_use)


def _lock_file(url: URL) -> Path:
    file = sqlite_file(url)
    return file.with_name(f"{file.name}.lock")


def _disk(url: URL) -> Disk:
    return FilesDisk(sqlite_file(url)) if is_sqlite(url) else ServersDisk()


@contextmanager
def _start_errors(url: URL) -> Iterator[None]:
    """Raises what keeps a database from being opened as `StartError`."""
    try:
        with translated():
            if is_sqlite(url):
                make_private(sqlite_file(url))
            yield
    except DatabaseFailed as error:
        raise StartError(f"Cannot open the database {shown(url)}: {error}") from error
    except OSError as error:
        raise StartError(f"Cannot open the database {shown(url)}: {error.strerror}") from error


@contextmanager
def _lock_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatabaseUnavailable(f"its lock cannot be taken: {error}") from error


def _again_if_lost(call: Callable[[], R]) -> R:
    try:
        return call()
    except ConnectionLost:
        return call()


def _answer(write: Write[R], connection: Connection) -> R | Exception:
    try:
        return write(connection)
    except InfernetError as refusal:
        return refusal
