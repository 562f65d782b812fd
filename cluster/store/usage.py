"""Queries about usage: what ended jobs consumed."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, exists, insert, select

from cluster.ids import JobId
from cluster.store.tables import JOBS, USAGE

_COUNT_ENDED_JOB = insert(USAGE).from_select(
    ["job_id", "account_id", "key_id", "model", "prompt_tokens", "completion_tokens", "ended_ms"],
    select(
        JOBS.c.id,
        JOBS.c.account_id,
        JOBS.c.key_id,
        JOBS.c.model,
        JOBS.c.prompt_tokens,
        JOBS.c.completion_tokens,
        JOBS.c.ended_ms,
    )
    .where(JOBS.c.id == bindparam("job"), JOBS.c.ended_ms.is_not(None))
    .where(~exists().where(USAGE.c.job_id == bindparam("job"))),
)


def count(connection: Connection, job_ids: Iterable[JobId]) -> None:
    """Counts these jobs, once, as their rows say they ended. Open and unknown ones are ignored."""
    if jobs := [{"job": job_id} for job_id in job_ids]:
        connection.execute(_COUNT_ENDED_JOB, jobs)
