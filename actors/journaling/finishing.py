"""Ends on their way to the Ledger, and who is told once they are durable."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from actors.journaling.forgetting import Forgetting
from actors.wire.batcher import Batcher
from actors.wire.calls import AWAY
from actors.wire.notices import Notices
from actors.wire.outage import Outage
from cluster.clock import Clock
from cluster.ids import EngineId, JobId
from cluster.messages.records import EndedRecord
from cluster.messages.work import Ended, Released
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.scheduler import Scheduler


class Finish(NamedTuple):
    """An end on its way to the Ledger.

    `engine_failed` says that the job's engine gave up on it; `told_by` are the engines that have told of the job, and
    the attempts that they made.
    """

    ended: Ended
    engine_failed: bool
    told_by: Sequence[tuple[EngineId, int]]


class Finishing:
    """Makes ends durable. Only then does the Scheduler free the lease, and do engines forget."""

    def __init__(
        self,
        finish: Callable[[Sequence[Ended]], Awaitable[Mapping[JobId, EndedRecord]]],
        scheduler: "Scheduler",
        forgetting: Forgetting,
        interval_s: float,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self._write = finish
        self._scheduler = scheduler
        self._forgetting = forgetting
        self._timing = timing
        self._outage = Outage("writing the ends of jobs", clock)
        self._finish = Batcher[Finish, EndedRecord | None](self._finish_batch)
        self._released = Notices(self._tell_released, "scheduler.released", interval_s)

    def stop(self) -> None:
        self._released.stop()

    async def make_durable(self, finish: Finish) -> EndedRecord | None:
        """Returns once the Ledger has it for good, or how the job had ended before: the first end wins."""
        # A job accepted is a job that ends: there is nobody to give this up to.
        while True:
            try:
                before = await self._finish.add(finish)
            except Exception as error:  # noqa: BLE001 - told, and repeated until it succeeds
                self._outage.failed(error)
                await asyncio.sleep(self._timing.repeat_s)
            else:
                self._outage.succeeded()
                return before

    async def _finish_batch(self, batch: list[Finish]) -> list[Exception | EndedRecord | None]:
        """All in one call; if one of them fails it, each alone, so that one bad end holds up no other."""
        try:
            before = await self._write([finish.ended for finish in batch])
        except AWAY:
            raise  # of all of them
        except Exception as error:  # noqa: BLE001 - answered to whom it concerns
            return [error] if len(batch) == 1 else [(await self._finish_batch([finish]))[0] for finish in batch]
        # Not before: until then the Scheduler's lease and the engines' logs are what a job goes on from.
        for finish in batch:
            self._conclude(finish)
        return [before.get(finish.ended.job_id) for finish in batch]

    def _conclude(self, finish: Finish) -> None:
        ended = finish.ended
        if (ran := ended.ran) is not None:
            tokens = ended.end.usage.completion_tokens
            self._released.add([Released(ended.job_id, ran.attempt, finish.engine_failed, tokens, ran.cached_tokens)])
        for engine_id, attempt in finish.told_by:
            self._forgetting.add(engine_id, [(ended.job_id, attempt)])

    async def _tell_released(self, released: Sequence[Released]) -> None:
        await self._scheduler.released(released)
