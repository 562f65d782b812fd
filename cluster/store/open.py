"""Reaching a database: SQLite for one machine, or any server SQLAlchemy knows by its URL."""

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from cluster.errors import StartError
from cluster.store import migrations
from cluster.store.failures import reason, shown

_SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",  # readers and the writer do not wait for one another
    "PRAGMA synchronous = FULL",  # a committed transaction survives a power loss, not only a crash
    "PRAGMA foreign_keys = ON",
)


def open_engine(url: str) -> Engine:
    """An engine for the database at `url`, its schema brought up to date.

    Raises `StartError`, which names the database without its password, if it cannot be opened or was written
    by newer software.
    """
    parsed = _parse(url)
    engine = _create(parsed)
    try:
        migrations.upgrade(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StartError(f"Cannot open the database {shown(parsed)}: {reason(error)}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Not quoted: it may hold a password.
        raise StartError("The setting 'database' is not a database URL, like sqlite:///infernet.db") from None
    if _is_sqlite(parsed) and parsed.database in (None, "", ":memory:"):
        raise StartError("The database must be a file or a server: jobs outlive the process")
    return parsed


def _create(url: URL) -> Engine:
    try:
        # hide_parameters: they hold prompts and key hashes, and errors end up in logs.
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=not _is_sqlite(url))
    except NoSuchModuleError:
        raise StartError(f"No such kind of database: {shown(url)}") from None
    except ModuleNotFoundError as error:
        raise StartError(f"The database {shown(url)} needs the package '{error.name}'") from None
    if _is_sqlite(url):
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver begins transactions by itself, but not before DDL; `_begin_sqlite` does so before everything,
    # which makes migrations atomic and reads consistent.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
