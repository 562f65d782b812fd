"""Searching jobs, newest first: by any of what an operator asks for, or all of it at once, however many jobs there are.

Of the conditions one is looked up by its index, that of the fewest jobs, and what it finds is held against the others,
from the newest on, a part at a time. A page costs what its parts cost, and looks for no longer than its turn: where two
conditions hold for many jobs each, and both for hardly any, it is what was found until then, and where to go on.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, true, tuple_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import AccountId, JobId
from cluster.job_states import JobState
from cluster.messages.records import JobPage, JobPosition, JobQuery
from cluster.store import job_rows
from cluster.store.tables.jobs import JOBS
from cluster.store.tables.people import KEYS


class Pace(NamedTuple):
    """How jobs are looked for: in parts, each twice as long, for `turn_s`; a part that has begun is finished.

    Of a condition with at least so `many` jobs it is not known how many.
    """

    turn_s: float = 0.05
    first_part: int = 500
    longest_part: int = 8_000
    many: int = 4_000


PACE: Final = Pace()

_Columns = ReadOnlyColumnCollection[str, Any]
_Condition = Callable[[_Columns], ColumnElement[bool]]
"""What of a job has to be so, by the columns of the jobs' table or of a part of it."""


def search(
    connection: Connection,
    account_id: AccountId | None,
    query: JobQuery,
    clock: Clock = SYSTEM_CLOCK,
    pace: Pace = PACE,
) -> JobPage:
    """The account's jobs, or everybody's; those of one millisecond in an order of their own, always the same."""
    end_s = clock.monotonic_s() + pace.turn_s
    if _contradicts_itself(connection, account_id, query):
        return JobPage(())
    leading, rest = _ordered(connection, account_id, query, pace.many)
    size = pace.first_part if rest else query.limit + 1
    before, found = query.before, list[JobId]()
    while True:
        part = _newest_first(select(JOBS).where(leading(JOBS.c), *_between(query, before)))
        before = _last(connection, part, size)
        found += _matching(connection, part.limit(size), rest, query.limit + 1 - len(found))
        if before is None or len(found) > query.limit or clock.monotonic_s() >= end_s:
            break
        size = min(2 * size, pace.longest_part)
    return _page(connection, found, query.limit, before)


def _contradicts_itself(connection: Connection, account_id: AccountId | None, query: JobQuery) -> bool:
    """Whether no job can be all of this: there is one account to a key, and an error to failed jobs alone."""
    if query.error is not None and query.status not in (None, JobState.FAILED):
        return True
    if query.key_id is None or account_id is None:
        return False
    return connection.scalar(select(KEYS.c.account_id).where(KEYS.c.id == query.key_id)) != account_id


def _ordered(
    connection: Connection, account_id: AccountId | None, query: JobQuery, many: int
) -> tuple[_Condition, list[_Condition]]:
    """The condition to look up, and the others: of those with many jobs, the first of the list is the one."""
    indexed, others = _conditions(account_id, query)
    if not indexed:
        return _any_job, others
    leading = indexed[0]
    if len(indexed) > 1:
        leading = min(indexed, key=lambda condition: _count(connection, condition, query, many))
    return leading, [condition for condition in (*indexed, *others) if condition is not leading]


def _conditions(account_id: AccountId | None, query: JobQuery) -> tuple[list[_Condition], list[_Condition]]:
    """Those by which jobs can be looked up, and those by which they cannot."""
    indexed: list[_Condition] = []
    others: list[_Condition] = []
    for name, value in (("key_id", query.key_id), ("error", query.error)):
        if value is not None:
            indexed.append(_equal(name, value))
    if query.status is not None:
        (others if _is_of_most(account_id, query.status) else indexed).append(_of_state(query.status, account_id))
    elif account_id is not None:
        indexed.append(_equal("account_id", account_id))
    for name, value in (("node_id", query.node_id), ("model", query.model)):
        if value is not None:
            indexed.append(_equal(name, value))
    return indexed, others


def _any_job(columns: _Columns) -> ColumnElement[bool]:
    return true()


def _equal(name: str, value: str) -> _Condition:
    return lambda columns: columns[name] == value


def _is_of_most(account_id: AccountId | None, state: JobState) -> bool:
    """Whether nearly all jobs are in this state."""
    return account_id is None and state is JobState.COMPLETED


def _of_state(state: JobState, account_id: AccountId | None) -> _Condition:
    """As an index of each has it: by account and state, of the open jobs, of the failed ones."""
    if account_id is not None:
        return lambda columns: and_(columns.account_id == account_id, columns.state == state.value)
    if not state.ended:
        return lambda columns: and_(columns.ended_ms.is_(None), columns.state == state.value)
    if state is JobState.FAILED:
        return lambda columns: columns.error.is_not(None)
    return _equal("state", state.value)


def _count(connection: Connection, condition: _Condition, query: JobQuery, many: int) -> int:
    """How many jobs fulfil this; no more than `many` are counted."""
    some = select(JOBS.c.id).where(condition(JOBS.c), *_between(query, query.before)).limit(many).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def _between(query: JobQuery, before: JobPosition | None) -> list[ColumnElement[bool]]:
    """By one limit at each end, so that an index is read between them and nowhere else."""
    within: list[ColumnElement[bool]] = []
    if query.since_ms is not None:
        within.append(JOBS.c.created_ms >= query.since_ms)
    if query.until_ms is not None and (before is None or query.until_ms <= before[0]):
        within.append(JOBS.c.created_ms < query.until_ms)
    elif before is not None:
        within.append(tuple_(JOBS.c.created_ms, JOBS.c.id) < before)
    return within


def _newest_first(jobs: Select[Any]) -> Select[Any]:
    return jobs.order_by(JOBS.c.created_ms.desc(), JOBS.c.id.desc())


def _last(connection: Connection, part: Select[Any], size: int) -> JobPosition | None:
    """The last job of a part of this size; None where the part has fewer, and nothing follows."""
    last = part.with_only_columns(JOBS.c.created_ms, JOBS.c.id).offset(size - 1).limit(1)
    row = connection.execute(last).first()
    return None if row is None else (row.created_ms, row.id)


def _matching(connection: Connection, part: Select[Any], conditions: Sequence[_Condition], limit: int) -> list[JobId]:
    """The jobs of a part that fulfil these conditions. By the part's own limit no database looks for them elsewhere."""
    jobs = part.with_only_columns(*(JOBS.c[name] for name in _LOOKED_AT)).subquery()
    matching = select(jobs.c.id).where(*(condition(jobs.c) for condition in conditions))
    return list(connection.scalars(matching.order_by(jobs.c.created_ms.desc(), jobs.c.id.desc()).limit(limit)))


def _page(connection: Connection, found: Sequence[JobId], limit: int, looked_to: JobPosition | None) -> JobPage:
    if not found:
        return JobPage((), looked_to)
    rows = connection.execute(_newest_first(job_rows.RECORDS).where(JOBS.c.id.in_(found[:limit]))).mappings()
    records = tuple(job_rows.record(row) for row in rows)
    if len(found) > limit:
        return JobPage(records, (records[-1].created_ms, records[-1].id))
    return JobPage(records, looked_to)


_LOOKED_AT = ("id", "created_ms", "ended_ms", "account_id", "key_id", "model", "node_id", "state", "error")
