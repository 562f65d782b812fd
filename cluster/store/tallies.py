"""Queries about what processes have counted together."""

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, exists, insert, literal, select, update

from cluster.measures.tallies import Counts, Sheet, Tally
from cluster.store.tables.measures import TALLIES, TALLY_SOURCES

KEPT_MS = 7 * 86_400_000
"""A process that has handed nothing in for so long has ended: no sheet of it comes again."""


def take(connection: Connection, sheet: Sheet, now_ms: int) -> None:
    """Adds a sheet to the sums, unless it is in them already."""
    told = {"of": sheet.source, "sheet": sheet.number, "now": now_ms}
    if connection.execute(_ADVANCE, told).rowcount == 0:
        if connection.scalar(_NUMBER, {"of": sheet.source}) is not None:
            return
        connection.execute(_BEGIN_SOURCE, told)
    add(connection, sheet.counts())


def add(connection: Connection, counts: Counts) -> None:
    """Adds what was counted in this transaction."""
    rows = [_row(name, labels, count) for (name, labels), count in sorted(counts.items())]
    if rows:
        connection.execute(_BEGIN, rows)
        connection.execute(_ADD, rows)


def sums(connection: Connection) -> list[Tally]:
    """All that has been counted, in the order of the names and labels."""
    rows = connection.execute(select(TALLIES).order_by(TALLIES.c.name, TALLIES.c.labels))
    return [Tally(row.name, msgspec.json.decode(row.labels, type=tuple[str, ...]), row.value) for row in rows]


def prune(connection: Connection, now_ms: int) -> None:
    """Forgets the processes that have ended."""
    connection.execute(delete(TALLY_SOURCES).where(TALLY_SOURCES.c.told_ms < now_ms - KEPT_MS))


def _row(name: str, labels: tuple[str, ...], count: float) -> dict[str, Any]:
    return {"of": name, "under": msgspec.json.encode(labels).decode(), "more": count}


_NUMBER = select(TALLY_SOURCES.c.number).where(TALLY_SOURCES.c.source == bindparam("of"))
_ADVANCE = (
    update(TALLY_SOURCES)
    .where(TALLY_SOURCES.c.source == bindparam("of"), TALLY_SOURCES.c.number < bindparam("sheet"))
    .values(number=bindparam("sheet"), told_ms=bindparam("now"))
)
_BEGIN_SOURCE = insert(TALLY_SOURCES).values(
    source=bindparam("of"), number=bindparam("sheet"), told_ms=bindparam("now")
)

_GIVEN = (bindparam("of", type_=TALLIES.c.name.type), bindparam("under", type_=TALLIES.c.labels.type))
_IS_ROW = (TALLIES.c.name == _GIVEN[0], TALLIES.c.labels == _GIVEN[1])
# Not "on conflict do update": every kind of database says that in words of its own.
_BEGIN = insert(TALLIES).from_select(
    ["name", "labels", "value"], select(*_GIVEN, literal(0.0)).where(~exists().where(*_IS_ROW))
)
_ADD = update(TALLIES).where(*_IS_ROW).values(value=TALLIES.c.value + bindparam("more"))
