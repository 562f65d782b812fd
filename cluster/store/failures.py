"""The database's errors as ours (`cluster/errors.py`). Nothing of SQLAlchemy crosses a process border: its errors
carry statements and parameters, which hold prompts; ours carry one line that says what is wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
    TimeoutError,
)

from cluster.errors import ConnectionLost, DatabaseRefused, DatabaseUnavailable

# Internal errors are of the server's state, and not of what was given: PostgreSQL tells so of a server that has become
# read-only in a failover, and of a transaction that it has ended.
_PASSING = (OperationalError, InterfaceError, InternalError, PendingRollbackError, TimeoutError)


@contextmanager
def translated() -> Iterator[None]:
    """Raises the database's errors as `ConnectionLost`, `DatabaseUnavailable` or `DatabaseRefused`.

    Without their cause, which a traceback in a log would show: PostgreSQL quotes the row that it refuses.
    """
    try:
        yield
    except SQLAlchemyError as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise ConnectionLost(reason(error)) from None
        if isinstance(error, _PASSING):
            raise DatabaseUnavailable(reason(error)) from None
        raise DatabaseRefused(reason(error)) from None


def reason(error: SQLAlchemyError) -> str:
    """What is wrong, in the driver's words, without the details that follow: they may quote what was written."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.partition("\n")[0] or type(error).__name__


def shown(url: URL) -> str:
    """The name of a database as messages may tell it: without its password, wherever the URL holds it."""
    return url.set(query={}).render_as_string(hide_password=True)
