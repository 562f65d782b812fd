"""Queries about usage: what ended jobs consumed.

Each job is a row for itself, and in the sum of its day, both from the transaction that ends it. Whole days are told by
their sums, and what is asked for of other days by the rows: so a question costs no more for the jobs there have been.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Connection, Select, func, insert, literal, select, tuple_, union_all

from cluster.clock import utc_day, utc_day_number
from cluster.ids import AccountId, JobId, KeyId, WebhookId
from cluster.limits.pricing import cost
from cluster.measures.measures import Operation
from cluster.messages.money import Rates, Usage, UsageGrouping, UsageQuery, UsageSum
from cluster.store import usage_days
from cluster.store.tables.usage import USAGE, USAGE_DAYS
from cluster.store.usage_days import COUNTS, DAY_MS


class Billed(Struct, frozen=True):
    """A job that has just ended, and what its owners are billed for it. `webhook_id` is the endpoint named for it."""

    job_id: JobId
    account_id: AccountId
    key_id: KeyId
    model: str
    rates: Rates
    usage: Usage
    ended_ms: int
    failed: bool
    operation: Operation = "chat"
    created_ms: int = 0
    webhook_id: WebhookId | None = None

    @property
    def cost(self) -> int:
        return cost(self.rates, self.usage)


def add(connection: Connection, ended: Sequence[Billed]) -> None:
    """Counts these jobs, each of which has ended in this transaction. Their cost is fixed with that."""
    if ended:
        rows = [_row(billed) for billed in ended]
        connection.execute(insert(USAGE), rows)
        usage_days.add(connection, rows)


def sums(connection: Connection, query: UsageQuery) -> list[UsageSum]:
    """The usage that `query` asks for, in the order of the groups; without a grouping one sum, of nothing too."""
    used = union_all(*_parts(query)).subquery()
    groups = [used.c[_COLUMNS[grouping]] for grouping in query.group_by]
    added_up: list[ColumnElement[Any]] = [func.coalesce(func.sum(used.c[count]), 0) for count in COUNTS]
    wanted = select(*groups, *added_up)
    if groups:
        wanted = wanted.group_by(*groups).order_by(*groups).limit(query.limit)
    if query.after is not None:
        wanted = wanted.where(tuple_(*groups) > tuple(map(_stored, query.group_by, query.after)))
    return [_sum(query.group_by, row) for row in connection.execute(wanted)]


def _parts(query: UsageQuery) -> Iterator[Select[Any]]:
    """The whole days in the time that is asked for, and what is before and after them."""
    since, until = query.since_ms, query.until_ms
    first = None if since is None else -(-since // DAY_MS)
    end = None if until is None else until // DAY_MS
    if first is not None and end is not None and first > end:
        yield _of_rows(query, USAGE.c.ended_ms >= since, USAGE.c.ended_ms < until)
        return
    yield _of_days(query, first, end)
    if first is not None and since != first * DAY_MS:
        yield _of_rows(query, USAGE.c.ended_ms >= since, USAGE.c.ended_ms < first * DAY_MS)
    if end is not None and until != end * DAY_MS:
        yield _of_rows(query, USAGE.c.ended_ms >= end * DAY_MS, USAGE.c.ended_ms < until)


def _of_days(query: UsageQuery, first: int | None, end: int | None) -> Select[Any]:
    columns = (*_COLUMNS.values(), *COUNTS)
    days = select(*(USAGE_DAYS.c[name] for name in columns))
    if query.account_id is not None:
        days = days.where(USAGE_DAYS.c.account_id == query.account_id)
    if first is not None:
        days = days.where(USAGE_DAYS.c.day >= first)
    if end is not None:
        days = days.where(USAGE_DAYS.c.day < end)
    return days


def _of_rows(query: UsageQuery, *conditions: ColumnElement[bool]) -> Select[Any]:
    counts = (USAGE.c[name] for name in COUNTS[1:])
    day = (USAGE.c.ended_ms // DAY_MS).label("day")
    rows = select(USAGE.c.account_id, USAGE.c.key_id, USAGE.c.model, day, literal(1).label("jobs"), *counts)
    if query.account_id is not None:
        rows = rows.where(USAGE.c.account_id == query.account_id)
    return rows.where(*conditions)


def _sum(groupings: Sequence[UsageGrouping], row: Sequence[Any]) -> UsageSum:
    groups, counts = row[: len(groupings)], row[len(groupings) :]
    # Sums are of another type than what they add up, in some databases.
    return UsageSum(tuple(map(_told, groupings, groups)), *map(int, counts))


def _told(grouping: UsageGrouping, group: Any) -> str:
    return utc_day(group) if grouping == "day" else str(group)


def _stored(grouping: UsageGrouping, group: str) -> str | int:
    return utc_day_number(group) if grouping == "day" else group


def _row(billed: Billed) -> dict[str, Any]:
    return {
        "job_id": billed.job_id,
        "account_id": billed.account_id,
        "key_id": billed.key_id,
        "model": billed.model,
        "cost": billed.cost,
        "ended_ms": billed.ended_ms,
    } | asdict(billed.usage)


# In the order in which both tables' parts have them.
_COLUMNS: dict[UsageGrouping, str] = {"account": "account_id", "key": "key_id", "model": "model", "day": "day"}
