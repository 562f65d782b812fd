"""Errors of the database. Nothing of SQLAlchemy crosses a process border: its errors carry statements and
parameters, which hold prompts; these carry one line that says what is wrong.

They are no `InfernetError`s: a client is told of an internal error, whatever the reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from sqlalchemy import URL
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError, TimeoutError


class DatabaseFailed(Exception):
    """A read or write failed."""

    retryable: ClassVar[bool] = False


class DatabaseUnavailable(DatabaseFailed):
    """The database is locked, full or cannot be reached. Calling again can help."""

    retryable = True


class DatabaseRefused(DatabaseFailed):
    """The database will not take what was given, now or later; nothing was written."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises the database's errors as `DatabaseUnavailable` or `DatabaseRefused`."""
    try:
        yield
    except (OperationalError, InterfaceError, TimeoutError) as error:
        raise DatabaseUnavailable(reason(error)) from error
    except SQLAlchemyError as error:
        raise DatabaseRefused(reason(error)) from error


def reason(error: SQLAlchemyError) -> str:
    """What is wrong, in the driver's words, without the details that follow: they may quote what was written."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.partition("\n")[0] or type(error).__name__


def shown(url: URL) -> str:
    """The name of a database as messages may tell it: without its password, wherever the URL holds it."""
    return url.set(query={}).render_as_string(hide_password=True)
