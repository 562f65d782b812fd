"""The Journal while the database is away: ends wait together, and an operator is told why."""

import logging
from collections.abc import Sequence

import pytest

from cluster.errors import DatabaseUnavailable
from cluster.ids import JobId
from cluster.messages.records import EndedRecord
from cluster.messages.work import Ended
from tests.support.journal_stage import Stage
from tests.support.plain_system import run, until


def test_ends_that_wait_for_the_database_are_not_tried_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    """Each try may take until its limit: with one for every end, nothing else would be written for minutes."""
    jobs = [JobId(f"job_{number}") for number in range(10)]
    sizes: list[int] = []

    async def scenario() -> None:
        async with Stage() as stage:
            finish = stage.ledger.finish

            async def away(ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
                sizes.append(len(ended))
                if len(sizes) <= 6:
                    raise DatabaseUnavailable("no answer within 8 s")
                return await finish(ended, journal)

            stage.ledger.finish = away  # type: ignore[method-assign]
            for job_id in jobs:
                stage.first.says(job_id, "x")
                stage.first.ends(job_id)
            await until(lambda: len(stage.ledger.finished) == len(jobs), "all ends")

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert len(sizes) < len(jobs)
    told = [record.message for record in caplog.records if "ends of jobs" in record.message]
    assert told[0] == "writing the ends of jobs: DatabaseUnavailable: no answer within 8 s"
    assert told[-1] == "writing the ends of jobs: works again"
    assert len(told) == 2
