"""`infernet backup` while jobs are submitted and end, and a system that goes on from the copy."""

import asyncio
from itertools import count
from pathlib import Path

from actors.backends.simulated import simulated_text
from cluster.ids import JobId
from cluster.messages.people import KeyLimits
from cluster.messages.records import CompletedRecord
from cluster.messages.work import ChatMessage
from cluster.store.inspection import inspect
from tests.support.command import infernet
from tests.support.http_door import door
from tests.support.plain_system import PATIENCE_S, PlainSystem, run, until

TOKENS = 60
OPEN = 30
"""As many jobs have not ended, at any time."""

MANY = KeyLimits(10**6, 10**6, 10**6)


def question(number: int) -> str:
    return f"Question {number}?"


def test_a_copy_made_under_traffic_is_a_system_of_its_own(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "infernet.db"
    copy.parent.mkdir()
    asked: dict[str, int] = {}

    async def original() -> set[str]:
        """The jobs that had been accepted when the backup began."""
        async with PlainSystem(database, limits=MANY) as system, door(system.gateway) as client:
            await system.ready()

            async def submit() -> None:
                for number in count():
                    messages = [{"role": "user", "content": question(number)}]
                    body = {"model": "sim", "messages": messages, "max_tokens": TOKENS}
                    asked[(await client.post("/api/v1/jobs", json=body)).json()["id"]] = number
                    if number >= OPEN:
                        await system.ended(JobId(list(asked)[number - OPEN]))

            submitting = asyncio.create_task(submit())
            await until(lambda: len(asked) > 20)
            before = set(asked)
            code, out, err = await infernet("backup", copy, INFERNET_DATABASE=f"sqlite:///{database}")
            assert (code, err) == (0, ""), err
            assert f"{copy.stat().st_size:,} bytes, checked" in out
            made = len(asked)
            await until(lambda: len(asked) > made)  # nobody was held up for good
            submitting.cancel()
            assert len(asked) > len(before)
            for job_id in asked:
                await system.ended(JobId(job_id))
        return before

    async def restored() -> None:
        async with PlainSystem(copy) as system:
            there = {str(job_id) for (job_id,) in system.rows("SELECT id FROM jobs")}
            assert before <= there <= set(asked)
            await system.ready()
            for job_id in there:
                record = await system.ended(JobId(job_id))
                assert isinstance(record, CompletedRecord)
                expected = simulated_text((ChatMessage("user", question(asked[job_id])),), None, TOKENS)
                assert record.content == expected
            assert system.rows("SELECT count(*), count(DISTINCT job_id) FROM usage") == [(len(there),) * 2]

    before = run(original(), 3 * PATIENCE_S)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert inspect(f"sqlite:///{copy}").open_jobs > 0  # else nothing would be seen to go on
    run(restored(), 3 * PATIENCE_S)
    for path in (database, copy):
        found = inspect(f"sqlite:///{path}")
        assert (found.open_jobs, found.faults, found.in_use) == (0, (), False)
