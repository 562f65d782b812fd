"""Ends on their way to the Ledger, and who is told once they are durable."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from actors.wire.batcher import Batcher
from actors.wire.calls import AWAY, tell
from actors.wire.notices import Notices
from actors.wire.outage import Outage
from cluster.clock import Clock
from cluster.ids import EngineId
from cluster.messages.work import Ended, JobAttempt, Placed, Released
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler


class Ending(NamedTuple):
    """An end on its way to the Ledger. `engine_failed` says that the job's engine gave up on it."""

    ended: Ended
    engine_failed: bool


class Endings:
    """Makes ends durable. Only then does the Scheduler free the lease, and the engine forget."""

    def __init__(
        self,
        ledger: "Ledger",
        scheduler: "Scheduler",
        engine: "Callable[[EngineId], Engine]",
        interval_s: float,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self._ledger = ledger
        self._scheduler = scheduler
        self._engine = engine
        self._timing = timing
        self._outage = Outage("writing the ends of jobs", clock)
        self._finish = Batcher[Ending, None](self._finish_batch)
        self._released = Notices(self._tell_released, "scheduler.released", interval_s)
        self._settled = Notices(self._tell_settled, "engine.settled", timing.settled_notice_s)

    def stop(self) -> None:
        self._released.stop()
        self._settled.stop()

    async def make_durable(self, ending: Ending) -> None:
        """Returns once the Ledger has it for good."""
        # A job accepted is a job that ends: there is nobody to give this up to.
        while True:
            try:
                await self._finish.add(ending)
            except Exception as error:  # noqa: BLE001 - told, and repeated until it succeeds
                self._outage.failed(error)
                await asyncio.sleep(self._timing.repeat_s)
            else:
                return self._outage.succeeded()

    async def _finish_batch(self, batch: list[Ending]) -> list[Exception | None]:
        """All in one call; if one of them fails it, each alone, so that one bad end holds up no other."""
        try:
            await self._ledger.finish([ending.ended for ending in batch])
        except AWAY:
            raise  # of all of them
        except Exception as error:  # noqa: BLE001 - answered to whom it concerns
            return [error] if len(batch) == 1 else [(await self._finish_batch([ending]))[0] for ending in batch]
        # Not before: until then the Scheduler's lease and the engine's log are what a job goes on from.
        ran = [(ending.ended.ran, ending.engine_failed) for ending in batch if ending.ended.ran is not None]
        self._released.add(Released(where.job_id, where.attempt, failed) for where, failed in ran)
        self._settled.add(where for where, _ in ran)
        return [None] * len(batch)

    async def _tell_released(self, released: Sequence[Released]) -> None:
        await self._scheduler.released(released)

    async def _tell_settled(self, ran: Sequence[Placed]) -> None:
        settled: dict[EngineId, list[JobAttempt]] = defaultdict(list)
        for where in ran:
            settled[where.engine_id].append((where.job_id, where.attempt))
        for engine_id, attempts in settled.items():
            tell(self._engine(engine_id).settled(attempts), "engine.settled")
