"""Calls that fail once, while everybody lives. Whatever decides about a job is told until it is true."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.simulated import simulated_text
from actors.engine import Engine
from actors.wire.calls import Unreached
from cluster.ids import EngineId
from cluster.messages.work import Failed, Finished, Submission
from cluster.store.failures import DatabaseUnavailable
from tests.support.plain_system import PlainSystem, run, until

E0 = EngineId("sim/0")


class Failing:
    """Fails the first `times` calls of a method that have something to tell, before or after their effect."""

    def __init__(self, owner: Any, method: str, error: Exception, times: int = 1, after: bool = False) -> None:
        self._call = getattr(owner, method)
        self._error = error
        self._after = after
        self.left = times
        setattr(owner, method, self)

    async def __call__(self, *args: Any) -> Any:
        if not self.left or not args[0]:
            return await self._call(*args)
        self.left -= 1
        if self._after:
            await self._call(*args)
        raise self._error


def engine_object(system: PlainSystem, engine_id: EngineId = E0) -> Engine:
    process = system.engines[engine_id].process
    assert process is not None
    engine: Engine = process.content
    return engine


def test_a_commit_whose_answer_was_lost(database: Path) -> None:
    """The job is there, and whoever submitted it was told that it is not."""

    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            Failing(system.ledger, "create", DatabaseUnavailable("the server closed the connection"), after=True)
            job = system.job()
            with pytest.raises(DatabaseUnavailable):
                await system.gateway.intake.submit(Submission(job))
            record = await system.ended(job.id)
            assert record.content == simulated_text(job.messages, None, 40)

    run(scenario())


def test_a_commit_whose_answer_was_lost_and_a_job_that_is_overdue_by_then(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database, nodes=0) as system:
            Failing(system.ledger, "create", DatabaseUnavailable("the server closed the connection"), after=True)
            job = system.job()
            with pytest.raises(DatabaseUnavailable):
                await system.gateway.intake.submit(Submission(replace(job, deadline_ms=job.created_ms + 1)))
            assert (await system.ended(job.id)).error == "timeout"

    run(scenario())


def test_a_confirmation_that_was_lost(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            lost = Failing(engine_object(system), "confirm", Unreached("engine cannot be reached"))
            job = system.job()
            await system.gateway.intake.submit(Submission(job))
            text, end = await system.read(job.id)
            assert lost.left == 0
            assert text == simulated_text(job.messages, None, 40)
            assert isinstance(end, Finished)

    run(scenario())


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_an_order_that_failed_while_its_engine_lives(database: Path, after: bool) -> None:
    """No other job moves, no engine is replaced, and what the engine has of the order is not told twice."""

    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            before = system.job("before", max_tokens=300)
            await system.gateway.intake.submit(Submission(before))
            engine = engine_object(system)
            Failing(engine, "generate", Unreached("engine cannot be reached"), after=after)
            job = system.job("a", max_tokens=60)
            await system.gateway.intake.submit(Submission(job))
            for each in (job, before):
                text, _ = await system.read(each.id)
                assert text == simulated_text(each.messages, None, each.sampling.max_tokens)
            assert system.known_engines() == [E0]
            attempts = dict(system.rows("SELECT job_id, max(attempt) FROM placements GROUP BY job_id"))
            assert attempts[before.id] == 1
            assert attempts[job.id] > 1

            async def forgotten() -> bool:
                return not (await engine.describe()).running

            await until(forgotten, "the engine forgot both attempts")

    run(scenario())


def test_an_application_error_of_an_engine(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            Failing(engine_object(system), "generate", RuntimeError("of the application"))
            job = system.job()
            await system.gateway.intake.submit(Submission(job))
            assert (await system.read(job.id))[0] == simulated_text(job.messages, None, 40)
            assert system.known_engines() == [E0]

    run(scenario())


def test_an_end_that_the_journal_was_not_told_of(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            Failing(system.journal, "fail", Unreached("journal cannot be reached"), times=3)
            job = system.job(max_tokens=1000)
            await system.gateway.intake.submit(Submission(replace(job, deadline_ms=job.created_ms + 100)))
            _, end = await system.read(job.id)
            assert isinstance(end, Failed) and end.error == "timeout"

    run(scenario())


def test_a_cancellation_that_the_journal_was_not_told_of(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            job = system.job(max_tokens=1000)
            await system.gateway.intake.submit(Submission(job))
            Failing(system.journal, "fail", Unreached("journal cannot be reached"))
            with pytest.raises(Unreached):
                await system.scheduler.cancel(job.id)
            _, end = await system.read(job.id)
            assert isinstance(end, Failed) and end.error == "cancelled"

    run(scenario())


def test_a_release_and_a_settlement_that_were_lost(database: Path) -> None:
    """The Scheduler and the engine hold a job that has ended, until the Ledger is looked at."""

    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            released = Failing(system.scheduler, "released", Unreached("scheduler cannot be reached"))
            settled = Failing(engine_object(system), "settled", Unreached("engine cannot be reached"))
            job = system.job(max_tokens=5)
            await system.gateway.intake.submit(Submission(job))
            await system.read(job.id)
            await until(lambda: (released.left, settled.left) == (0, 0), "both notices were lost")
            await until(lambda: len(system.scheduler.leases.places) == 0, "the lease was dropped")

            async def forgotten() -> bool:
                return not (await engine_object(system).describe()).running

            await until(forgotten, "the engine forgot")

    run(scenario())


def test_a_stream_of_an_engine_that_breaks_is_read_again(database: Path) -> None:
    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            job = system.job(max_tokens=300)
            await system.gateway.intake.submit(Submission(job))
            tell_of = engine_object(system).frames

            async def breaking(reader: str) -> Any:
                count = 0
                async for frame in tell_of(reader):
                    yield frame
                    count += 1
                    if count == 5:
                        raise Unreached("engine cannot be reached")

            engine_object(system).frames = breaking  # type: ignore[method-assign]
            await system.restart_journal()
            text, end = await system.read(job.id)
            assert text == simulated_text(job.messages, None, 300)
            assert isinstance(end, Finished)
            assert system.known_engines() == [E0]
            assert system.rows("SELECT max(attempt) FROM placements") == [(1,)]

    run(scenario())


def test_a_newer_attempt_on_the_same_engine_stops_the_older(database: Path) -> None:
    """It would go on to its max_tokens, in a place of the batch that others wait for."""

    async def scenario() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            engine = engine_object(system)
            listed = engine.describe

            async def forgetful() -> Any:
                report = await listed()
                return replace(report, running=tuple(a for a in report.running if a[1] > 1))

            engine.describe = forgetful  # type: ignore[method-assign]
            job = system.job(max_tokens=800)
            await system.gateway.intake.submit(Submission(job))

            async def moved() -> bool:
                return any(attempt > 1 for _, attempt in (await listed()).running)

            await until(moved, "a second attempt")
            assert (await listed()).generating == 1
            text, _ = await system.read(job.id)
            assert text == simulated_text(job.messages, None, 800)

    run(scenario())
