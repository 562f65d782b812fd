"""Queries about usage: what ended jobs consumed."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Connection, Row, func, insert, select

from cluster.clock import utc_day
from cluster.ids import AccountId, JobId, KeyId
from cluster.limits.pricing import cost
from cluster.messages.money import Rates, Usage, UsageGrouping, UsageQuery, UsageSum
from cluster.store.tables import USAGE

_DAY_MS = 86_400_000


class Billed(Struct, frozen=True):
    """A job that has just ended, and what its owners are billed for it."""

    job_id: JobId
    account_id: AccountId
    key_id: KeyId
    model: str
    rates: Rates
    usage: Usage
    ended_ms: int
    failed: bool


def add(connection: Connection, ended: Sequence[Billed]) -> None:
    """Counts these jobs, each of which has ended in this transaction. Their cost is fixed with that."""
    if ended:
        connection.execute(insert(USAGE), [_row(billed) for billed in ended])


def sums(connection: Connection, query: UsageQuery) -> list[UsageSum]:
    """The usage that `query` asks for, in the order of the groups; without a grouping one sum, of nothing too."""
    group = None if query.group_by is None else _GROUPS[query.group_by]
    wanted = select(*_SUMS) if group is None else select(*_SUMS, group.label("name")).group_by(group).order_by(group)
    rows = connection.execute(wanted.where(*_conditions(query)))
    return [_sum(row, query.group_by) for row in rows]


def _conditions(query: UsageQuery) -> list[ColumnElement[bool]]:
    conditions = [USAGE.c.account_id == query.account_id]
    if query.since_ms is not None:
        conditions.append(USAGE.c.ended_ms >= query.since_ms)
    if query.until_ms is not None:
        conditions.append(USAGE.c.ended_ms < query.until_ms)
    return conditions


def _sum(row: Row[Any], group_by: UsageGrouping | None) -> UsageSum:
    counts = [int(count) for count in row[: len(_SUMS)]]
    if group_by is None:
        return UsageSum(None, *counts)
    return UsageSum(utc_day(row.name) if group_by == "day" else row.name, *counts)


def _row(billed: Billed) -> dict[str, Any]:
    return {
        "job_id": billed.job_id,
        "account_id": billed.account_id,
        "key_id": billed.key_id,
        "model": billed.model,
        "cost": cost(billed.rates, billed.usage),
        "ended_ms": billed.ended_ms,
    } | asdict(billed.usage)


_GROUPS: dict[UsageGrouping, ColumnElement[Any]] = {
    "key": USAGE.c.key_id,
    "model": USAGE.c.model,
    "day": USAGE.c.ended_ms // _DAY_MS,
}
_SUMS = (
    func.count(),
    *(func.coalesce(func.sum(USAGE.c[name]), 0) for name in ("prompt_tokens", "completion_tokens", "cost")),
)
