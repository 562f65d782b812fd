"""Jobs that are removed, one by one or for their age: what goes, what stays, and what is not touched."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.errors import Conflict, JobNotFound
from cluster.ids import JobId
from cluster.messages.money import Rates, UsageQuery, UsageSum
from cluster.messages.records import JobQuery
from cluster.messages.work import ChatMessage, Idempotency, Job, Submission
from cluster.store.usage_days import DAY_MS
from cluster.timing import Timing
from tests.support.ledger_stage import (
    DEFAULT,
    NOW,
    OURS,
    THEIRS,
    Clock,
    Place,
    accepted,
    completed,
    create,
    elsewhere,
    failed,
    job,
    placed,
    url,
    with_ledger,
)

AT_ONCE = Timing(prune_turn_s=0.0, prune_pause_s=0.0)
"""One small batch a turn."""

TABLES = ("jobs", "placements", "idempotency", "usage")
SECRET = "the tomb of the last Inca"


def counts(place: Place) -> dict[str, int]:
    return {table: elsewhere(place, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def ended(ledger: Ledger, one: Job, key: str | None = None) -> Job:
    """A job that has run and ended, submitted under an idempotency key of its own."""
    submission = Submission(one, Idempotency(key or f"key of {one.id}", "hash"))
    assert await ledger.create([submission]) == [accepted(one)]
    await ledger.placed([placed(one)])
    await ledger.finish([completed(one)])
    return one


def test_a_removed_job_leaves_its_usage_and_nothing_else(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        one, other = await ended(ledger, job(rates=Rates(10**6, 10**6))), await ended(ledger, job(NOW + 1))
        used = await ledger.usage(UsageQuery(OURS))
        await ledger.remove(one.id, OURS)
        assert await ledger.job(one.id, OURS) is None
        assert await ledger.placements(one.id) == []
        assert [record.id for record in (await ledger.jobs(OURS, JobQuery())).records] == [other.id]
        assert await ledger.usage(UsageQuery(OURS)) == used
        assert counts(place) == {"jobs": 1, "placements": 1, "idempotency": 1, "usage": 2}

    with_ledger(place, scenario)


def test_it_is_removed_once_and_nothing_brings_it_back(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        one = await ended(ledger, job(), "again")
        for _ in range(3):
            await ledger.remove(one.id, OURS)
        # What was under way may be told again: it is the same job, and neither made nor billed anew.
        submissions = [Submission(one), Submission(one, Idempotency("again", "hash"))]
        for submission in submissions:
            assert await ledger.create([submission]) == [accepted(one)]
        await ledger.placed([placed(one, attempt=2)])
        await ledger.finish([failed(one)])
        assert await ledger.job(one.id, OURS) is None
        assert await ledger.open_jobs() == []
        assert counts(place) == {"jobs": 0, "placements": 0, "idempotency": 0, "usage": 1}
        assert (await ledger.usage(UsageQuery(OURS)))[0] == UsageSum((), 1, 3, 20, 43)

    with_ledger(place, scenario)


def test_its_idempotency_key_is_free_again(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        one = await ended(ledger, job(), "again")
        await ledger.remove(one.id, OURS)
        second = job()
        assert await ledger.create([Submission(second, Idempotency("again", "another"))]) == [accepted(second)]

    with_ledger(place, scenario)


def test_an_open_job_is_not_removed(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        waiting, running = job(), job()
        await create(ledger, waiting, running)
        await ledger.placed([placed(running)])
        for one in (waiting, running):
            with pytest.raises(Conflict, match="cancel it first"):
                await ledger.remove(one.id, OURS)
        assert {opened.job.id for opened in await ledger.open_jobs()} == {waiting.id, running.id}

    with_ledger(place, scenario)


def test_another_accounts_job_is_not_there(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        one = await ended(ledger, job(), "ours")
        gone = await ended(ledger, job())
        await ledger.remove(gone.id, OURS)
        told = set()
        for job_id in (one.id, gone.id, JobId("job_none")):
            with pytest.raises(JobNotFound) as refusal:
                await ledger.remove(job_id, THEIRS)
            told.add(refusal.value.message)
        assert told == {"No such job"}
        assert await ledger.job(one.id, OURS) is not None

    with_ledger(place, scenario)


def is_in_files(place: Path) -> bool:
    """Whether the secret is in any byte of the database, or of what SQLite keeps beside it."""
    return any(SECRET.encode() in file.read_bytes() for file in place.parent.glob(f"{place.name}*"))


def test_what_is_removed_is_in_no_byte_of_the_files(place: Place) -> None:
    """A page that is free is still in the file, and what was there before it was free is in the log."""
    assert isinstance(place, Path)
    long = f"{SECRET}. " * 3_000

    async def scenario(ledger: Ledger) -> None:
        one = job(messages=(ChatMessage("user", long),), metadata={"trace": SECRET})
        await create(ledger, one)
        await ledger.finish([completed(one, long)])
        await ledger.prune_jobs()
        assert is_in_files(place)
        await ledger.remove(one.id, OURS)
        with closing(sqlite3.connect(place)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM jobs").fetchall()
            await ledger.prune_jobs()  # somebody reads what is there: the next time, then
        await ledger.prune_jobs()
        assert not is_in_files(place)

    with_ledger(place, scenario)


def retaining(place: Place, days: int | None, clock: Clock) -> Ledger:
    return Ledger(url(place), None, DEFAULT, clock, AT_ONCE, retention_days=days)


def test_jobs_go_when_they_have_ended_so_many_days_ago(place: Place) -> None:
    clock = Clock()

    async def scenario() -> None:
        ledger = retaining(place, 3, clock)
        old = [await ended(ledger, job(NOW + number)) for number in range(25)]
        young = await ended(ledger, job(NOW + DAY_MS))
        running = job()
        await create(ledger, running)
        used = await ledger.usage(UsageQuery(OURS, group_by=("day",)))
        clock.ms = NOW + 2_000 + 3 * DAY_MS
        await ledger.prune_jobs()
        assert counts(place)["jobs"] == 27
        clock.ms += 1
        await ledger.prune_jobs()
        assert counts(place)["jobs"] == 26  # the first is a millisecond older than the second
        clock.ms += 1_000
        await ledger.prune_jobs()
        assert {record.id for record in (await ledger.jobs(OURS, JobQuery())).records} == {young.id, running.id}
        assert counts(place) == {"jobs": 2, "placements": 1, "idempotency": 1, "usage": 26}
        assert [opened.job.id for opened in await ledger.open_jobs()] == [running.id]
        assert await ledger.usage(UsageQuery(OURS, group_by=("day",))) == used
        await ledger.remove(old[0].id, OURS)
        await ledger.stop()

    asyncio.run(scenario())


def test_without_a_setting_nothing_ever_goes(place: Place) -> None:
    clock = Clock()

    async def scenario() -> None:
        ledger = retaining(place, None, clock)
        await ended(ledger, job())
        clock.ms += 40_000 * DAY_MS
        await ledger.prune_jobs()
        assert counts(place) == {"jobs": 1, "placements": 1, "idempotency": 1, "usage": 1}
        await ledger.stop()

    asyncio.run(scenario())


def test_a_list_goes_on_where_jobs_have_gone(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        made = [await ended(ledger, job(NOW + number)) for number in range(6)]
        first = (await ledger.jobs(OURS, JobQuery(limit=2))).records
        for gone in (first[-1].id, made[3].id):
            await ledger.remove(gone, OURS)
        last = first[-1]
        rest = (await ledger.jobs(OURS, JobQuery(limit=10, before=(last.created_ms, last.id)))).records
        assert [record.id for record in rest] == [each.id for each in reversed(made[:3])]

    with_ledger(place, scenario)


def test_others_write_between_the_turns(place: Place) -> None:
    """Far more jobs than one turn removes go, and a job is made meanwhile."""
    clock = Clock()

    async def scenario() -> None:
        ledger = retaining(place, 1, clock)
        for number in range(60):
            await ended(ledger, job(NOW - number))
        clock.ms = NOW + 2 * DAY_MS
        new = replace(job(), created_ms=clock.ms)
        pruning = asyncio.create_task(ledger.prune_jobs())
        await create(ledger, new)
        assert counts(place)["jobs"] > 1  # some are still to go
        await pruning
        assert [record.id for record in (await ledger.jobs(OURS, JobQuery())).records] == [new.id]
        await ledger.stop()

    asyncio.run(scenario())
