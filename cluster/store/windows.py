"""Queries about the windows of rate limits: how much of the latest of each length has been used."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, delete, exists, insert, or_, select, update

from cluster.messages.people import WindowMark
from cluster.store.tables.marks import WINDOWS


def marks(connection: Connection, now_ms: int) -> list[WindowMark]:
    """Of the windows that are not over."""
    rows = connection.execute(select(*(WINDOWS.c[name] for name in _MARK)).where(WINDOWS.c.ends_s * 1000 > now_ms))
    return [WindowMark(*row) for row in rows]


def mark(connection: Connection, marks: Sequence[WindowMark], now_ms: int) -> None:
    """Records these marks: a later window takes the earlier one's place, and within one the most used holds.

    What is over is removed.
    """
    connection.execute(delete(WINDOWS).where(WINDOWS.c.ends_s <= now_ms // 1000))
    if rows := [_row(mark) for mark in marks]:
        connection.execute(_ADD, rows)
        connection.execute(_RAISE, rows)


def settle(connection: Connection, marks: Sequence[WindowMark], now_ms: int) -> None:
    """Records how much was used in fact, however far ahead of it the marks were."""
    mark(connection, marks, now_ms)
    if rows := [_row(mark) for mark in marks]:
        connection.execute(_SETTLE, rows)


def _row(mark: WindowMark) -> dict[str, Any]:
    # Not the columns' names: an UPDATE would take them for what it is to set.
    fields = {f"its_{name}": value for name, value in asdict(mark).items()}
    return fields | {"its_ends_s": (mark.number + 1) * mark.length_s}


_MARK = ("key_id", "bucket", "length_s", "number", "used")
_GIVEN = {name: bindparam(f"its_{name}", type_=WINDOWS.c[name].type) for name in (*_MARK, "ends_s")}
_IS_SAME = tuple(WINDOWS.c[name] == _GIVEN[name] for name in ("key_id", "bucket", "length_s"))
_IS_LATER = WINDOWS.c.number < _GIVEN["number"]
_HAS_USED_MORE = (WINDOWS.c.number == _GIVEN["number"]) & (WINDOWS.c.used < _GIVEN["used"])
_ADD = insert(WINDOWS).from_select(list(_GIVEN), select(*_GIVEN.values()).where(~exists().where(*_IS_SAME)))
_RAISE = (
    update(WINDOWS)
    .where(*_IS_SAME, or_(_IS_LATER, _HAS_USED_MORE))
    .values({name: _GIVEN[name] for name in ("number", "used", "ends_s")})
)
_SETTLE = update(WINDOWS).where(*_IS_SAME, WINDOWS.c.number == _GIVEN["number"]).values(used=_GIVEN["used"])
