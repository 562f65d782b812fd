"""Queries about shares: what accounts have had of models while others waited (`cluster/shares.py`)."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from cluster.messages.people import ShareMark
from cluster.store.tables.marks import SHARES


def marks(connection: Connection) -> list[ShareMark]:
    """All of them."""
    return [
        ShareMark(*row) for row in connection.execute(select(SHARES.c.model, SHARES.c.account_id, SHARES.c.counter))
    ]


def mark(connection: Connection, marks: Sequence[ShareMark]) -> None:
    """Records these counters, each in the place of what it was, and takes out those that are no more."""
    if marks:
        connection.execute(_REMOVE, [{"of_model": mark.model, "of_account": mark.account_id} for mark in marks])
    if rows := [
        {"model": mark.model, "account_id": mark.account_id, "counter": mark.counter}
        for mark in marks
        if mark.counter is not None
    ]:
        connection.execute(insert(SHARES), rows)


_REMOVE = delete(SHARES).where(SHARES.c.model == bindparam("of_model"), SHARES.c.account_id == bindparam("of_account"))
