"""Reaching a database: SQLite for one machine, or PostgreSQL. How long each may take to answer is set here."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from cluster.errors import StartError
from cluster.store.failures import shown

logger = logging.getLogger(__name__)

CONNECTIONS: Final = 5
"""How many calls may use the database at once."""

IMMEDIATE: Final = {"begin": "BEGIN IMMEDIATE"}
"""Execution options of transactions that write: where one may write at a time, they wait for that at the start."""

_BUSY_TIMEOUT = "PRAGMA busy_timeout = 5000"
_SQLITE_PRAGMAS = (
    _BUSY_TIMEOUT,
    "PRAGMA journal_mode = WAL",  # readers and the writer do not wait for one another
    "PRAGMA synchronous = FULL",  # a committed transaction survives a power loss, not only a crash
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is removed is overwritten in the file, and not only forgotten
)

# https://www.postgresql.org/docs/current/libpq-connect.html, and what the server is asked to keep for a connection:
# https://www.postgresql.org/docs/current/runtime-config-client.html. Times are seconds and milliseconds as they want
# them. A server that lost us lets go of our locks as soon as we notice that we lost it.
_POSTGRESQL: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "infernet",
}
_POSTGRESQL_SERVER: Final = {
    "statement_timeout": 15_000,
    "lock_timeout": 5_000,
    "idle_in_transaction_session_timeout": 10_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
}
_READS: Final = {"default_transaction_read_only": "on", "statement_timeout": 0}
_POOL_TIMEOUT_S: Final = 5.0


def parse(url: str) -> URL:
    """Raises `StartError` for what is no URL of a database that can be used."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not quoted: it may hold a password.
        raise StartError("The setting 'database' is not a database URL, like sqlite:///infernet.db") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql", "postgres"):
        raise StartError(f"No such kind of database: {shown(parsed)}")
    if is_sqlite(parsed):
        if parsed.database in (None, "", ":memory:") or parsed.database.startswith("file:"):
            raise StartError("The database must be a path or a server: jobs outlive the process")
        return parsed
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise StartError(f"The database {shown(parsed)} is reached with psycopg: postgresql+psycopg://...")
    return parsed.set(drivername="postgresql+psycopg")


def open_engine(url: URL) -> Engine:
    """An engine for this database, which `parse` gave. Connects to nothing yet. Raises `StartError`."""
    return _sqlite(url) if is_sqlite(url) else _postgresql(url)


def open_to_read(url: URL) -> Engine:
    """An engine that changes nothing, for a database that others may be using. Raises `StartError` where there is none.

    Its calls have no limit of time: they may look at every row.
    """
    if not is_sqlite(url):
        return _created(url, connect_args=_connecting(url, _POSTGRESQL_SERVER | _READS))
    file = sqlite_file(url)
    if not file.exists():
        raise StartError(f"There is no database {shown(url)}")
    engine = create_engine(f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true", hide_parameters=True)
    event.listen(engine, "connect", _prepare_to_read)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def exists(database: str) -> bool:
    """Whether there is a file, where it is to be one; of a server only the server knows."""
    url = parse(database)
    return not is_sqlite(url) or sqlite_file(url).exists()


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def sqlite_file(url: URL) -> Path:
    """The file itself, whichever links lead to it."""
    assert url.database is not None
    return Path(url.database).resolve()


def empty_log(connection: Connection) -> bool:
    """Copies all of SQLite's log into its file, and empties it. False, at once, where somebody still reads it."""
    cursor = connection.connection.cursor()  # not in a transaction
    try:
        cursor.execute("PRAGMA busy_timeout = 0")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((busy, *_),) = cursor.fetchall()
        return not busy
    finally:
        cursor.execute(_BUSY_TIMEOUT)
        cursor.close()


def make_private(path: Path) -> None:
    """Makes a database file that only its owner can read, or warns of one that others can read. Raises OSError.

    SQLite gives its other files the mode of this one.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            logger.warning("%s holds prompts and answers, and others on this machine can read it: chmod 600", path)


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    return _created(
        url,
        connect_args=_connecting(url, _POSTGRESQL_SERVER),
        pool_size=CONNECTIONS,
        max_overflow=1,
        pool_timeout=_POOL_TIMEOUT_S,
    )


def _created(url: URL, **options: Any) -> Engine:
    try:
        # Parameters hold prompts and key hashes, and errors end up in logs.
        return create_engine(url, hide_parameters=True, **options)
    except ModuleNotFoundError as error:
        raise StartError(f"The database {shown(url)} needs the package '{error.name}'") from None


def _connecting(url: URL, server: Mapping[str, object]) -> dict[str, Any]:
    """How to connect: with the limits above, and with what the `server` is asked for, unless the URL says otherwise."""
    options = " ".join(f"-c {name}={value}" for name, value in server.items())
    given = url.query.get("options", "")
    # Of two of a name the last one counts.
    limits = {"options": " ".join([options, *([given] if isinstance(given, str) else given)]).strip()}
    return limits | {name: value for name, value in _POSTGRESQL.items() if name not in url.query}


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver begins transactions by itself, but not before DDL; `_begin_sqlite` does so before everything,
    # which makes migrations atomic and reads consistent.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _prepare_to_read(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(_BUSY_TIMEOUT)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
