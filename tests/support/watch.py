"""Jobs of a plain system, submitted and read: whatever is done to the system, every stream stays exact."""

import asyncio
import math
from collections import Counter

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from api.replica.live import is_lost
from cluster.messages.work import End, Finished, Job, Submission
from tests.support.plain_system import PlainSystem, until


def expected(job: Job) -> str:
    return simulated_text(job.messages, job.sampling.seed, job.sampling.max_tokens)


class Watch:
    """Jobs submitted and read, and how many characters have come so far."""

    def __init__(self, system: PlainSystem, jobs: list[Job]) -> None:
        self.system = system
        self.jobs = jobs
        self.delivered = 0
        self._told: Counter[str] = Counter()
        self.longest_silence_s = 0.0
        """The longest for which a stream that had begun told nothing."""
        self.lost = 0
        """How many streams ended as lost. Their readers began again from the start."""
        self._tasks = [asyncio.create_task(self._submit_and_read(job)) for job in jobs]

    async def _submit_and_read(self, job: Job) -> tuple[str, End]:
        await self.system.gateway.intake.submit(Submission(job))
        while True:
            text, end = await self._read(job)
            if not is_lost(end):
                return text, end
            self.lost += 1

    async def _read(self, job: Job) -> tuple[str, End]:
        text, heard_s = "", math.inf
        async for piece in self.system.gateway.streams.read(job.id, job.account_id):
            now_s = self.system.clock.monotonic_s()
            self.longest_silence_s = max(self.longest_silence_s, now_s - heard_s)
            text, heard_s = text + piece.text, now_s
            assert not piece.text or piece.offset == len(text)
            self.delivered += len(piece.text)
            self._told[job.id] += len(piece.text)
            if piece.end is not None:
                return text, piece.end
        raise AssertionError("the stream ended without an end")

    async def some(self, characters: int) -> None:
        """Until so much more has been delivered, or all of it."""
        wanted = self.delivered + characters
        await until(lambda: self.delivered >= wanted or self.done, f"{characters} more characters")

    async def each_goes_on(self) -> None:
        """Until every stream that has not ended has told more: who was killed is back, and has heard of them all."""
        before = self._told.copy()

        def goes_on() -> bool:
            jobs = zip(self.jobs, self._tasks, strict=True)
            return all(task.done() or self._told[job.id] > before[job.id] for job, task in jobs)

        await until(goes_on, "every stream goes on")

    @property
    def done(self) -> bool:
        return all(task.done() for task in self._tasks)

    async def exact(self, may_lose: bool = False) -> None:
        """Every stream, result and count is what an undisturbed run gives."""
        for job, (text, end) in zip(self.jobs, await asyncio.gather(*self._tasks), strict=True):
            assert text == expected(job)
            assert isinstance(end, Finished), end
            assert end.finish_reason == "length"
        assert may_lose or not self.lost, "a stream was lost"
        for job in self.jobs:
            await self._recorded(job)
        billed = {job.id: (job.id, prompt_tokens(job.messages), job.sampling.max_tokens) for job in self.jobs}
        rows = self.system.rows("SELECT job_id, prompt_tokens, completion_tokens FROM usage")
        assert sorted(row for row in rows if row[0] in billed) == sorted(billed.values())

    async def _recorded(self, job: Job) -> None:
        record = await self.system.ended(job.id, job.account_id)
        assert record.content == expected(job)
        assert record.usage is not None
        assert record.usage.completion_tokens == job.sampling.max_tokens
        assert record.node_id in self.system.node_ids


async def at_rest(system: PlainSystem) -> None:
    """Nothing of the ended jobs is left in queues, leases and engines."""
    scheduler = system.scheduler
    await until(lambda: len(scheduler.leases.places) == 0, "rest")
    assert scheduler.leases.idle and len(scheduler.leases.places.queue) == 0
    assert all(not r.tokens_of and r.assigned_tokens == 0 for r in scheduler.fleet.replicas)

    async def forgotten() -> bool:
        return not any(report.running for report in await system.engine_reports())

    await until(forgotten, "the engines forgot")
