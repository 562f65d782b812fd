"""Queries about what is measured of ended jobs: sums per model and operation, in all and of each of the last minutes.

They are written in the transaction that ends the jobs, so that each is counted once, whoever dies.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, tuple_, update

from cluster.ids import JobId
from cluster.measures.activity import MINUTE_MS
from cluster.measures.history import EndedMinutes
from cluster.measures.measures import Cause, Counted, EndedJob, Measures, Operation
from cluster.store.tables.jobs import PLACEMENTS
from cluster.store.tables.measures import MEASURE_MINUTES, MEASURES
from cluster.store.tables.usage import USAGE_DAYS
from cluster.store.usage_days import DAY_MS

KEPT_MINUTES: Final = 2 * 24 * 60

Kind = tuple[str, Operation]
"""A model, or an adapter, and what was asked of it."""


class Attempts(msgspec.Struct, frozen=True):
    """When a job was given to an engine first, and why each of its attempts was made."""

    placed_ms: int
    causes: Sequence[Cause]


def attempts(connection: Connection, job_ids: Iterable[JobId]) -> dict[JobId, Attempts]:
    """The attempts at those of these jobs that were given to any engine."""
    found: dict[JobId, list[Any]] = {}
    for row in connection.execute(_ATTEMPTS, {"ids": list(job_ids)}):
        found.setdefault(row.job_id, []).append(row)
    return {job_id: Attempts(rows[0].placed_ms, _causes(rows)) for job_id, rows in found.items()}


def add(connection: Connection, ended: Iterable[tuple[Kind, EndedJob]]) -> None:
    """Counts these jobs, each of which has ended in this transaction."""
    totals: dict[tuple[Any, ...], Measures] = {}
    minutes: dict[tuple[Any, ...], Measures] = {}
    for kind, job in ended:
        totals.setdefault(kind, Measures()).add(job)
        minutes.setdefault((job.ended_ms // MINUTE_MS, *kind), Measures()).add(job)
    _merge(connection, _TOTALS, totals)
    _merge(connection, _MINUTES, minutes)


def totals(connection: Connection) -> list[Counted]:
    """All that has been counted, in the order of the models' names."""
    rows = connection.execute(select(MEASURES).order_by(MEASURES.c.model, MEASURES.c.operation))
    return [Counted(row.model, row.operation, _decode(row.sums)) for row in rows]


def ended_minutes(connection: Connection, since_ms: int, now_ms: int) -> EndedMinutes:
    """What has ended in each minute from `since_ms` on, and what all that ended today costs."""
    minutes: dict[int, Measures] = {}
    of_minutes = select(MEASURE_MINUTES.c.minute, MEASURE_MINUTES.c.sums)
    for row in connection.execute(of_minutes.where(MEASURE_MINUTES.c.minute >= since_ms // MINUTE_MS)):
        minutes.setdefault(row.minute, Measures()).merge(_decode(row.sums))
    today = select(func.coalesce(func.sum(USAGE_DAYS.c.cost), 0)).where(USAGE_DAYS.c.day == now_ms // DAY_MS)
    return EndedMinutes(minutes, int(connection.scalar(today) or 0))


def prune(connection: Connection, now_ms: int) -> None:
    """Removes the minutes that nobody is told of any more."""
    connection.execute(delete(MEASURE_MINUTES).where(MEASURE_MINUTES.c.minute < now_ms // MINUTE_MS - KEPT_MINUTES))


def _causes(rows: Sequence[Any]) -> list[Cause]:
    first, *others = rows
    return [first.moved_by or "new job", *(row.moved_by or "unknown" for row in others)]


class _Sums:
    """The statements of one of the tables of sums, made once: making them takes longer than most of them do."""

    def __init__(self, table: Table) -> None:
        columns = list(table.primary_key)
        self.names = [column.name for column in columns]
        given: dict[str, Any] = {column.name: bindparam(f"of_{column.name}") for column in columns}
        self.find = select(*columns, table.c.sums).where(tuple_(*columns).in_(bindparam("names", expanding=True)))
        self.insert = insert(table).values({**given, "sums": bindparam("now")})
        is_row = [column == given[column.name] for column in columns]
        self.update = update(table).where(*is_row).values(sums=bindparam("now"))

    def row(self, name: tuple[Any, ...], sums: Measures) -> dict[str, Any]:
        given = {f"of_{column}": value for column, value in zip(self.names, name, strict=True)}
        return given | {"now": msgspec.json.encode(sums).decode()}


def _merge(connection: Connection, of: _Sums, more: Mapping[tuple[Any, ...], Measures]) -> None:
    """Adds these to the rows of their names. Nobody else writes meanwhile: the database has one owner."""
    if not more:
        return
    before = {tuple(name): sums for *name, sums in connection.execute(of.find, {"names": list(more)})}
    known: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for name in sorted(more):
        sums = _decode(before[name]) if name in before else Measures()
        sums.merge(more[name])
        (known if name in before else new).append(of.row(name, sums))
    if new:
        connection.execute(of.insert, new)
    if known:
        connection.execute(of.update, known)


def _decode(sums: str) -> Measures:
    return msgspec.json.decode(sums, type=Measures)


_ATTEMPTS = (
    select(PLACEMENTS.c.job_id, PLACEMENTS.c.placed_ms, PLACEMENTS.c.moved_by)
    .where(PLACEMENTS.c.job_id.in_(bindparam("ids", expanding=True)))
    .order_by(PLACEMENTS.c.job_id, PLACEMENTS.c.attempt)
)

_TOTALS = _Sums(MEASURES)
_MINUTES = _Sums(MEASURE_MINUTES)
