"""The Journal and ends: durable before they are visible, and written once."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cluster.ids import JobId
from cluster.messages.money import Usage
from cluster.messages.records import EndedRecord
from cluster.messages.work import End, Ended, Failed, Failure, Output, Released
from cluster.store.failures import DatabaseUnavailable
from tests.support.journal_stage import DONE, E0, QUICK, TIMEOUT, A, B, Reader, Stage, ended_before
from tests.support.plain_system import run, settled, until


def test_an_end_is_visible_only_when_it_is_durable() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.ledger.open.clear()
            stage.first.says(A, "Paris.")
            stage.first.ends(A)
            await until(lambda: stage.ledger.calls == 1)
            await reader.told(A, "Paris.")
            await settled()
            assert reader.logs[A].end is None
            assert stage.first.settled_jobs == []
            # Until then the Scheduler keeps the job: this process may die.
            assert stage.scheduler.done == []

            stage.ledger.open.set()
            assert await reader.end(A) == DONE
            assert stage.scheduler.done == [Released(A, 1, tokens=2)]
            await until(lambda: stage.first.settled_jobs == [(A, 1)])
            (ended,) = stage.ledger.finished
            assert (ended.content, ended.end) == ("Paris.", DONE)
            assert ended.ran is not None
            assert (ended.ran.engine_id, ended.ran.node_id, ended.ran.attempt) == (E0, f"node of {E0}", 1)

    run(scenario())


def test_a_failing_ledger_is_tried_until_it_succeeds() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.ledger.failures = 5
            stage.first.says(A, "x")
            stage.first.ends(A)
            assert await reader.end(A) == DONE
            assert (stage.ledger.calls, len(stage.ledger.finished)) == (6, 1)

    run(scenario())


def test_one_end_that_cannot_be_written_holds_up_no_other() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            finish = stage.ledger.finish

            async def refuse_a(ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
                if any(end.job_id == A for end in ended):
                    raise ValueError("refused")
                return await finish(ended, journal)

            stage.ledger.finish = refuse_a  # type: ignore[method-assign]
            reader = Reader(stage.journal)
            for job_id in (A, B):
                await reader.watch(job_id)
                stage.first.says(job_id, "x")
                stage.first.ends(job_id)
            assert await reader.end(B) == DONE
            assert reader.logs[A].end is None
            stage.ledger.finish = finish  # type: ignore[method-assign]
            assert await reader.end(A) == DONE
            assert [ended.job_id for ended in stage.ledger.finished] == [B, A]

    run(scenario())


@pytest.mark.parametrize(("text", "end"), [("Hello", DONE), ("Hell", TIMEOUT), ("Other", DONE), ("", TIMEOUT)])
def test_readers_are_told_how_a_job_had_ended_before(text: str, end: End) -> None:
    """A Journal before this one had written it, and died before it told anybody."""

    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.before[A] = ended_before(text, end)
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "Hello")
            await reader.told(A, "Hello")
            stage.first.ends(A)
            assert await reader.end(A) == end
            late = Reader(stage.journal, "late")
            await late.watch(A)
            assert await late.end(A) == end
            assert late.logs[A].text == text
            assert stage.ledger.finished == []

    run(scenario())


def test_an_end_told_again_is_written_once() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "x")
            stage.first.ends(A)
            await until(lambda: stage.ledger.calls)
            # Something is missing, so that the engine is read again from the start, the end included.
            stage.first.says(B, " rest", attempt=2, resume=Output("start", (1,)))
            await stage.heard(B, "start rest")
            stage.ledger.open.set()
            await until(lambda: stage.first.settled_jobs)
            assert [ended.job_id for ended in stage.ledger.finished] == [A]
            assert stage.scheduler.done == [Released(A, 1, tokens=2)]

    run(scenario())


def test_a_job_can_fail_before_any_output() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            assert await reader.watch(A) == [A]
            await stage.journal.fail([Failure(A, "timeout", "Too late")])
            assert await reader.end(A) == Failed(Usage(0, 0), "timeout", "Too late")
            assert reader.logs[A].text == ""
            assert [(e.content, e.ran) for e in stage.ledger.finished] == [("", None)]

    run(scenario())


def test_a_job_that_fails_midway_keeps_its_text_and_is_charged_for_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            stage.first.says(A, "some")
            await stage.heard(A, "some")
            await stage.journal.fail([Failure(A, "timeout", "Too late")])
            await reader.end(A)
            stage.first.says(A, " more")
            await until(lambda: stage.first.aborted == [(A, 1)])
            assert reader.logs[A].text == "some"
            (ended,) = stage.ledger.finished
            assert (ended.content, ended.end.usage) == ("some", Usage(3, 4))

    run(scenario())


def test_of_two_ends_the_first_stays() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            reader = Reader(stage.journal)
            await reader.watch(A)
            await reader.watch(B)
            stage.first.says(A, "x")
            stage.first.ends(A)
            assert await reader.end(A) == DONE
            await stage.journal.fail([Failure(A, "timeout", "Too late")])

            await stage.journal.fail([Failure(B, "timeout", "Too late"), Failure(B, "no_capacity", "Later still")])
            end = await reader.end(B)
            assert end == Failed(Usage(0, 0), "timeout", "Too late")
            assert sorted(ended.job_id for ended in stage.ledger.finished) == [A, B]

    run(scenario())


def test_the_scheduler_is_told_which_ends_are_the_engines_own_failures() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            given = {
                "job_done": DONE,
                "job_broken": Failed(Usage(3, 2), "engine_error", "It broke"),
                "job_too_long": Failed(Usage(3, 2), "context_length_exceeded", "Too long"),
                "job_late": None,
                "job_given_up": None,
            }
            for name, end in given.items():
                stage.first.says(JobId(name), "x")
                await stage.heard(JobId(name), "x")
                if end is not None:
                    stage.first.ends(JobId(name), end)
            late = Failure(JobId("job_late"), "timeout", "Too late")
            # Its engines died: the Scheduler knows that, it has counted them itself.
            given_up = Failure(JobId("job_given_up"), "engine_error", "The engines that ran this job failed")
            await stage.journal.fail([late, given_up])
            await until(lambda: len(stage.scheduler.done) == len(given), "every release")
            assert {done.job_id for done in stage.scheduler.done} == set(given)
            assert [done.job_id for done in stage.scheduler.done if done.failed] == ["job_broken"]

    run(scenario())


def test_a_failure_that_comes_after_the_end_is_not_the_engines() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.ledger.open.clear()
            stage.first.says(A, "x")
            await stage.heard(A, "x")
            failing = asyncio.create_task(stage.journal.fail([Failure(A, "cancelled", "Cancelled")]))
            await until(lambda: stage.ledger.calls)
            stage.first.ends(A, Failed(Usage(3, 2), "engine_error", "It broke"))
            await settled()
            stage.ledger.open.set()
            await failing
            await until(lambda: stage.scheduler.done)
            assert stage.scheduler.done == [Released(A, 1, failed=False, tokens=1)]

    run(scenario())


def test_ends_that_a_database_cannot_take_are_not_tried_one_by_one() -> None:
    async def scenario() -> None:
        async with Stage(replace(QUICK, repeat_s=3600.0)) as stage:
            tried: list[int] = []

            async def away(ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
                tried.append(len(ended))
                await stage.ledger.open.wait()
                raise DatabaseUnavailable("the database is away")

            stage.ledger.finish, _ = away, stage.ledger.open.clear()  # type: ignore[method-assign]
            for number in range(10):
                stage.first.says(JobId(f"job_{number}"), "x")
                stage.first.ends(JobId(f"job_{number}"))
            await until(lambda: tried)
            await settled()
            stage.ledger.open.set()
            await until(lambda: sum(tried) == 10)
            await settled()
            assert len(tried) <= 2

    run(scenario())
