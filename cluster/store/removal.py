"""Removing ended jobs: their prompts, texts, placements and idempotency keys. What they used stays, and tells no text.

A row of usage is what is left of a removed job. By that it is known to have been there, and is never made again.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, delete, select

from cluster.clock import Clock
from cluster.errors import Conflict, JobNotFound
from cluster.ids import AccountId, JobId
from cluster.store.tables.jobs import IDEMPOTENCY, JOBS, PLACEMENTS
from cluster.store.tables.usage import USAGE

_AT_ONCE: Final = 10


def remove(connection: Connection, job_id: JobId, account_id: AccountId | None) -> None:
    """Removes this job, if it is the account's, where one is named. One that has been removed stays so.

    Raises Conflict for a job that has not ended, and JobNotFound.
    """
    job = connection.execute(_JOB, {"id": job_id}).first()
    owner = connection.scalar(_REMOVED, {"id": job_id}) if job is None else job.account_id
    if owner is None or account_id not in (None, owner):
        raise JobNotFound("No such job")
    if job is None:
        return
    if job.ended_ms is None:
        raise Conflict(f"Job {job_id} has not ended: cancel it first")
    _remove(connection, [job_id])


class Pruned(NamedTuple):
    """How many jobs a turn has removed, and whether there may be more."""

    jobs: int
    may_be_more: bool


def prune(connection: Connection, before_ms: int, turn_s: float, clock: Clock) -> Pruned:
    """Removes jobs that ended before this, the oldest first, for about as long.

    By time and not by number: the text of one may be a thousand times that of another.
    """
    end_s = clock.monotonic_s() + turn_s
    removed = 0
    while True:
        job_ids = connection.scalars(_OLDEST, {"before": before_ms}).all()
        if job_ids:
            _remove(connection, job_ids)
        removed += len(job_ids)
        may_be_more = len(job_ids) == _AT_ONCE
        if not may_be_more or clock.monotonic_s() >= end_s:
            return Pruned(removed, may_be_more)


def _remove(connection: Connection, job_ids: Sequence[JobId]) -> None:
    for statement in (_REMOVE_PLACEMENTS, _REMOVE_IDEMPOTENCY, _REMOVE_JOBS):
        connection.execute(statement, {"ids": job_ids})


_JOB = select(JOBS.c.account_id, JOBS.c.ended_ms).where(JOBS.c.id == bindparam("id"))
_REMOVED = select(USAGE.c.account_id).where(USAGE.c.job_id == bindparam("id"))
_OLDEST = select(JOBS.c.id).where(JOBS.c.ended_ms < bindparam("before")).order_by(JOBS.c.ended_ms).limit(_AT_ONCE)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_REMOVE_PLACEMENTS = delete(PLACEMENTS).where(PLACEMENTS.c.job_id.in_(_IDS))
_REMOVE_IDEMPOTENCY = delete(IDEMPOTENCY).where(IDEMPOTENCY.c.job_id.in_(_IDS))
_REMOVE_JOBS = delete(JOBS).where(JOBS.c.id.in_(_IDS))
