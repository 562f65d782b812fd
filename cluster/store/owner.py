"""Queries about who owns the database: the system that opened it last, by the number it has from then.

The number is a fence. A Ledger that was paused, or cut off, while another system took over, still holds the number of
before, and each of its writes asks whether that is the current one.
"""

from sqlalchemy import Connection, bindparam, select, update

from cluster.errors import DatabaseTaken
from cluster.store.tables.own import OWNER


def take_over(connection: Connection, now_ms: int) -> int:
    """Shuts out whoever had the database before. The number by which it is ours from now on."""
    connection.execute(update(OWNER).values(epoch=OWNER.c.epoch + 1, taken_ms=now_ms))
    return int(connection.scalars(select(OWNER.c.epoch)).one())


def require(connection: Connection, epoch: int) -> None:
    """Raises `DatabaseTaken` unless the database is owned by this number, until the end of this transaction."""
    if connection.scalar(_HELD, {"ours": epoch}) is None:
        raise DatabaseTaken("another system has taken over the database; this one writes nothing any more: stop it")


def touch(connection: Connection, now_ms: int) -> None:
    """Writes something, so that it is known whether that can be done."""
    connection.execute(update(OWNER).values(touched_ms=now_ms))


# Shared: nobody can take over before this transaction has ended. SQLite has one writer at a time anyway.
_HELD = select(OWNER.c.epoch).where(OWNER.c.epoch == bindparam("ours")).with_for_update(read=True)
