"""The Journal: exact output, from every engine to every reader, and nothing of it when all is over."""

import asyncio

from msgspec.structs import replace

from cluster.ids import JobId
from cluster.liveness.roles import JOURNAL_ROLE
from cluster.messages.work import Failure, Output
from tests.support.journal_stage import DONE, QUICK, A, B, Reader, Stage
from tests.support.plain_system import run, settled, until


def test_text_goes_to_every_reader_from_where_each_asks() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            early, late = Reader(stage.journal, "early"), Reader(stage.journal, "late")
            assert await early.watch(A) == [A]
            stage.first.says(A, "Grüße, ")
            await early.told(A, "Grüße, ")
            assert await late.watch(A, 3) == []
            stage.first.says(A, "🦊")
            await early.told(A, "Grüße, 🦊")
            await late.told(A, "···ße, 🦊")
            stage.first.ends(A)
            assert await early.end(A) == await late.end(A) == DONE

    run(scenario())


def test_a_journal_whose_place_another_has_taken_ends_no_job_and_reads_no_more() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, hold_s=0.001)) as stage:
            await stage.journal.role.holding.taken()
            stage.ledger.roles.hold(JOURNAL_ROLE, "another", begins=True)
            # What it is asked for before it knows.
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "timeout", "Late")]))
            await until(lambda: stage.first.dead_readers)
            stage.first.says(B, "x")
            await settled()
            assert (await stage.journal.output(B)).text == ""
            assert stage.ledger.finished == []
            failing.cancel()
            await asyncio.gather(failing, return_exceptions=True)

    run(scenario())


def test_a_gap_is_closed_by_reading_from_the_start() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.first.says(A, "whole")
            await stage.heard(A, "whole")
            # A resumed dispatch to an engine whose reader does not have what came before.
            stage.first.says(B, " rest", attempt=2, resume=Output("start", (1, 2, 3)))
            await stage.heard(B, "start rest")
            assert stage.first.readings == 2
            assert (await stage.journal.output(A)).text == "whole"

    run(scenario())


def test_nothing_is_left_when_all_is_over() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, linger_s=0.002)) as stage:
            reader = Reader(stage.journal)
            for number in range(50):
                job_id = JobId(f"job_{number}")
                await reader.watch(job_id)
                stage.first.says(job_id, "x")
                stage.first.ends(job_id)
            for job_id in reader.logs:
                await reader.end(JobId(job_id))
            await until(lambda: stage.jobs_are(set()), "an empty journal")
            assert not [job_id for job_id in reader.logs if await stage.journal.watched(JobId(job_id), "nobody")]
            await reader.leave()
            assert await stage.journal.held() == (set(), set())

    run(scenario())
