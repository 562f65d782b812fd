"""Queries about jobs. Every write may be repeated: what has been done before changes nothing."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    case,
    exists,
    insert,
    select,
    tuple_,
    union,
    update,
)

from cluster.ids import AccountId, JobId
from cluster.job_states import JobEvent, JobState, advance
from cluster.measures.measures import COMPLETED, EndedJob
from cluster.measures.tallies import SETTLED
from cluster.messages.money import Rates
from cluster.messages.placements import Placed
from cluster.messages.records import EndedRecord, JobRecord
from cluster.messages.webhooks import Event
from cluster.messages.work import Ended, Failed, Job, OpenAttempt, OpenJob
from cluster.store import budgets, deliveries, job_rows, measures, media, placements, tallies, usage
from cluster.store.measures import Kind
from cluster.store.tables.jobs import JOBS
from cluster.store.tables.usage import USAGE
from cluster.store.usage import Billed
from cluster.webhooks.events import job_ended


def create(connection: Connection, jobs: Sequence[Job]) -> None:
    """Adds jobs as pending. One whose id is known is ignored, also if it has been removed."""
    if jobs:
        connection.execute(_CREATE, [job_rows.new_row(job) for job in jobs])
        media.hold(connection, jobs)


def known(connection: Connection, job_ids: Sequence[JobId]) -> set[JobId]:
    """Those of these ids that are of jobs, or were of jobs that have been removed."""
    return set(connection.scalars(_KNOWN, {"ids": job_ids}))


def place(connection: Connection, placed: Sequence[Placed]) -> None:
    """Records where jobs run. Of ended jobs, and of attempts older than the recorded, only the attempt is kept.

    Unknown jobs are ignored.
    """
    if placed:
        rows = [job_rows.placed_row(attempt) | {"fence": attempt.attempt} for attempt in placed]
        connection.execute(_PLACE, rows)
        placements.add(connection, placed)


def finish(
    connection: Connection, ended: Sequence[Ended], listening: Collection[AccountId] = ()
) -> tuple[list[Billed], dict[JobId, EndedRecord]]:
    """Records how jobs ended, counts their usage, measures them and settles their budgets, once: the first end wins.

    What is to be told of that to the accounts that are `listening` is written down with it. Answers those that have
    ended by this, and how the others had ended before. Unknown jobs are ignored.
    """
    first = {end.job_id: end for end in reversed(ended)}
    # A quick job ends before its placement has been told.
    place(connection, [end.ran for end in first.values() if end.ran is not None])
    billed = _billed(connection, first)
    for event, end_as in _END.items():
        if rows := [job_rows.ended_row(first[job.job_id]) for job in billed if _event(first[job.job_id]) is event]:
            connection.execute(end_as, rows)
    placements.hear(connection, [first[job.job_id] for job in billed])
    usage.add(connection, billed)
    measures.add(connection, _measured(connection, billed, first))
    settlement = budgets.settle(connection, billed)
    tallies.add(connection, {(SETTLED, (unit,)): spent for unit, spent in settlement.spent.items()})
    _tell(connection, billed, settlement.reached, listening)
    media.let_go(connection, [job.job_id for job in billed])
    return billed, _ended(connection, first.keys() - {job.job_id for job in billed})


def record(connection: Connection, job_id: JobId, account_id: AccountId | None) -> JobRecord | None:
    """The job, if it is this account's, where one is named."""
    wanted = job_rows.RECORDS.where(JOBS.c.id == job_id)
    if account_id is not None:
        wanted = wanted.where(JOBS.c.account_id == account_id)
    row = connection.execute(wanted).mappings().first()
    return None if row is None else job_rows.record(row)


def asked(connection: Connection, job_id: JobId, account_id: AccountId | None) -> Job | None:
    """The job as it was accepted; with an account, only one of its jobs."""
    wanted = select(JOBS).where(JOBS.c.id == job_id)
    if account_id is not None:
        wanted = wanted.where(JOBS.c.account_id == account_id)
    row = connection.execute(wanted).mappings().first()
    return None if row is None else job_rows.open_job(row).job


def open_jobs(
    connection: Connection, after: tuple[int, JobId], limit: int, job_ids: Sequence[JobId] | None = None
) -> list[OpenJob]:
    """The next jobs after this time and id that have not ended, or those of these, oldest first."""
    wanted = select(JOBS).where(_IS_OPEN, tuple_(JOBS.c.created_ms, JOBS.c.id) > after)
    if job_ids is not None:
        wanted = wanted.where(JOBS.c.id.in_(job_ids))
    oldest_first = wanted.order_by(JOBS.c.created_ms, JOBS.c.id).limit(limit)
    return [job_rows.open_job(row) for row in connection.execute(oldest_first).mappings()]


def open_attempts(connection: Connection) -> list[OpenAttempt]:
    """Of all jobs that have not ended: the id, the last attempt recorded and when the job was created."""
    return [(row.id, row.attempt, row.created_ms) for row in connection.execute(_OPEN_ATTEMPTS)]


def _tell(
    connection: Connection, billed: Sequence[Billed], reached: Sequence[Event], listening: Collection[AccountId]
) -> None:
    """Where nobody listens, this asks nothing."""
    heard = [job for job in billed if job.account_id in listening]
    events = [job_ended(job.job_id, job.account_id, job.failed, job.ended_ms) for job in heard]
    events += [event for event in reached if event.account_id in listening]
    deliveries.add(connection, events, {job.job_id: job.webhook_id for job in heard if job.webhook_id is not None})


def _ended(connection: Connection, job_ids: Iterable[JobId]) -> dict[JobId, EndedRecord]:
    """Those of these jobs that have ended."""
    if not (wanted := list(job_ids)):
        return {}
    rows = connection.execute(job_rows.RECORDS.where(JOBS.c.id.in_(wanted))).mappings()
    records = [job_rows.record(row) for row in rows]
    return {each.id: each for each in records if isinstance(each, EndedRecord)}


def _billed(connection: Connection, ended: Mapping[JobId, Ended]) -> list[Billed]:
    """What is to be billed: of these jobs, the open ones."""
    return [
        Billed(
            job_id=row.id,
            account_id=row.account_id,
            key_id=row.key_id,
            model=row.model,
            rates=Rates(row.prompt_rate, row.completion_rate),
            usage=ended[row.id].end.usage,
            ended_ms=ended[row.id].ended_ms,
            operation=row.operation,
            created_ms=row.created_ms,
            failed=isinstance(ended[row.id].end, Failed),
            webhook_id=row.webhook_id,
        )
        for row in connection.execute(_TO_BILL, {"ids": list(ended)})
    ]


def _measured(
    connection: Connection, billed: Sequence[Billed], ended: Mapping[JobId, Ended]
) -> Iterator[tuple[Kind, EndedJob]]:
    """What is measured of these jobs, and under what it is counted."""
    attempts = measures.attempts(connection, [job.job_id for job in billed])
    for job in billed:
        end, made = ended[job.job_id], attempts.get(job.job_id)
        yield (
            (job.model, job.operation),
            EndedJob(
                usage=job.usage,
                cost=job.cost,
                created_ms=job.created_ms,
                ended_ms=job.ended_ms,
                error=end.end.error if isinstance(end.end, Failed) else COMPLETED,
                placed_ms=None if made is None else made.placed_ms,
                first_text_ms=end.first_text_ms,
                gaps_ms=end.gaps_ms,
                causes=() if made is None else made.causes,
            ),
        )


def _event(ended: Ended) -> JobEvent:
    return JobEvent.FAILED if isinstance(ended.end, Failed) else JobEvent.COMPLETED


def _advanced(event: JobEvent) -> ColumnElement[str]:
    """The table of `cluster.jobs.advance`, the only rule for states, in SQL."""
    return case({state.value: advance(state, event).value for state in JobState}, value=JOBS.c.state)


_IS_OPEN = JOBS.c.ended_ms.is_(None)
_OPEN_JOB = update(JOBS).where(JOBS.c.id == bindparam("job"), _IS_OPEN)
_NEW = [JOBS.c[name] for name in job_rows.NEW_COLUMNS]

# Not "on conflict do nothing": every kind of database says that in words of its own.
_CREATE = insert(JOBS).from_select(
    _NEW,
    select(*(bindparam(column.name, type_=column.type) for column in _NEW)).where(
        ~exists().where(JOBS.c.id == bindparam("id")), ~exists().where(USAGE.c.job_id == bindparam("id"))
    ),
)
_PLACE = _OPEN_JOB.where(JOBS.c.attempt <= bindparam("fence")).values(state=_advanced(JobEvent.PLACED))
_END = {event: _OPEN_JOB.values(state=_advanced(event)) for event in (JobEvent.COMPLETED, JobEvent.FAILED)}
_OPEN_ATTEMPTS = select(JOBS.c.id, JOBS.c.attempt, JOBS.c.created_ms).where(_IS_OPEN)
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_KNOWN = union(select(JOBS.c.id).where(JOBS.c.id.in_(_IDS)), select(USAGE.c.job_id).where(USAGE.c.job_id.in_(_IDS)))
_BILLED = (
    "id",
    "account_id",
    "key_id",
    "model",
    "operation",
    "created_ms",
    "prompt_rate",
    "completion_rate",
    "webhook_id",
)
# Locked, where a database can: should a dead process' last transaction still be under way, this one waits for it.
_TO_BILL = (
    select(*(JOBS.c[name] for name in _BILLED))
    .where(JOBS.c.id.in_(bindparam("ids", expanding=True)), _IS_OPEN)
    .with_for_update()
)
