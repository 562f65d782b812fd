"""The whole control plane on a database of every released version: what was open there is answered and billed once."""

from pathlib import Path

import pytest

from actors.backends.simulated import simulated_text
from cluster.clock import wall_ms
from cluster.ids import JobId
from cluster.messages.records import CompletedRecord
from cluster.messages.work import ChatMessage
from cluster.store.inspection import inspect
from tests.support import older_databases as older
from tests.support.plain_system import PlainSystem, run

TEXT = simulated_text((ChatMessage("user", older.QUESTION),), None, 5)


@pytest.mark.parametrize("version", older.VERSIONS)
def test_open_jobs_of_before_are_answered_once(tmp_path: Path, version: str) -> None:
    path = tmp_path / "infernet.db"
    path.touch(0o600)
    older.write(path, version, wall_ms() + 60_000)
    written = older.VERSIONS[: older.VERSIONS.index(version) + 1]

    async def scenario() -> None:
        async with PlainSystem(path) as system:
            await system.ready()
            for each in written:
                for job_id in (older.waiting(each), older.running(each)):
                    record = await system.ended(JobId(job_id))
                    assert isinstance(record, CompletedRecord)
                    assert record.content == TEXT
            assert system.rows("SELECT count(*), count(DISTINCT job_id) FROM usage") == [(4 * len(written),) * 2]

    run(scenario())
    found = inspect(f"sqlite:///{path}")
    assert (found.open_jobs, found.faults) == (0, ())
