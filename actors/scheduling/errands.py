"""What is to be done about jobs, done: the calls to engines, Journal and Ledger, and what comes of them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence, Set
from typing import TYPE_CHECKING

from actors.machine.log_lines import about, about_job
from actors.scheduling.job_spans import JobSpans
from actors.wire.calls import Gone, Unreachable, tell
from cluster.ids import EngineId, JobId
from cluster.leases.actions import Abort, Action, Ask, Attach, Confirm, Fail, Fence, Forget, Mark, Order, Record
from cluster.leases.leases import Leases
from cluster.messages.machines import FailedAttempt
from cluster.messages.people import ShareMark
from cluster.messages.work import Dispatch, Failure, JobAttempt
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.journal import Journal
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)


class Errands:
    """Carries out what `leases` decides, and tells it how that went: a call that fails leads to what is decided next.

    `now` gives the seconds and milliseconds that decisions are made by. `holder` says which Scheduler this is.
    """

    def __init__(
        self,
        leases: Leases,
        ledger: "Ledger",
        journal: "Journal",
        engine: Callable[[EngineId], "Engine"],
        now: Callable[[], tuple[float, int]],
        timing: Timing,
        holder: str,
        spans: JobSpans,
    ) -> None:
        self._leases = leases
        self._ledger = ledger
        self._journal = journal
        self._engine = engine
        self._now = now
        self._timing = timing
        self._holder = holder
        self._spans = spans
        # The orders that are on their way for jobs which are not confirmed yet.
        self._orders: dict[JobId, asyncio.Task[None]] = {}
        # The engines that are being asked whether they can be reached.
        self._asking: set[EngineId] = set()

    def carry_out(self, actions: Iterable[Action]) -> None:
        """Do all this in the background: no heartbeat and no deadline may wait for another actor."""
        for action in actions:
            match action:
                case Order(engine_id, dispatches):
                    self._order(engine_id, dispatches)
                case Confirm(engine_id, attempts):
                    self._confirm(engine_id, attempts)
                case Abort(engine_id, attempts):
                    tell(self._engine(engine_id).abort(attempts), "engine.abort")
                case Forget(engine_id, attempts):
                    tell(self._engine(engine_id).forget(attempts), "engine.forget")
                case Ask(engine_id):
                    if engine_id not in self._asking:
                        tell(self._ask(engine_id), "engine.describe")
                case Attach(engine_ids):
                    tell(self._attach(engine_ids), "journal.attach")
                case Fence(attempts):
                    tell(self._fence(attempts), "journal.fence")
                case Fail(failures):
                    tell(self.fail(failures), "journal.fail")
                case Record(placed):
                    tell(self._ledger.placed(placed), "ledger.placed")
                case Mark(marks):
                    tell(self._mark(marks), "ledger.mark_shares")

    def _order(self, engine_id: EngineId, dispatches: Sequence[Dispatch]) -> None:
        self._spans.ordered(engine_id, dispatches)
        for dispatch in dispatches:
            logger.debug("goes to %s, attempt %d", engine_id, dispatch.attempt, extra=about_job(dispatch.job))
        order = tell(self._send(engine_id, dispatches), f"dispatch to {engine_id}")
        self._orders |= {dispatch.job.id: order for dispatch in dispatches if not dispatch.confirmed}

    async def _send(self, engine_id: EngineId, dispatches: Sequence[Dispatch]) -> None:
        attempts = [(dispatch.job.id, dispatch.attempt) for dispatch in dispatches]
        try:
            async with asyncio.timeout(self._timing.delivery_s):
                await self._engine(engine_id).generate(dispatches)
        except Gone:
            self.lose(engine_id)
            raise
        except (Unreachable, TimeoutError):
            self.carry_out(self._leases.unreached(engine_id, attempts, *self._now()))
            raise
        except Exception:
            failed = [FailedAttempt(*attempt, "The engine did not take this job") for attempt in attempts]
            self.carry_out(self._leases.refused(engine_id, failed, *self._now()))
            raise
        self._leases.delivered(engine_id, attempts, self._now()[0])

    async def _ask(self, engine_id: EngineId) -> None:
        self._asking.add(engine_id)
        try:
            async with asyncio.timeout(self._timing.ask_s):
                await self._engine(engine_id).describe()
        except Gone:
            self.lose(engine_id)
            raise
        finally:
            self._asking.discard(engine_id)
        self.carry_out(self._leases.reached(engine_id, self._now()[1]))

    def _confirm(self, engine_id: EngineId, attempts: Sequence[JobAttempt]) -> None:
        orders = {self._orders[job_id] for job_id, _ in attempts if job_id in self._orders}
        tell(self._confirm_after(orders, engine_id, attempts), "engine.confirm")

    async def _confirm_after(
        self, orders: Set[asyncio.Task[None]], engine_id: EngineId, attempts: Sequence[JobAttempt]
    ) -> None:
        """Calls to an actor may overtake each other, and an engine can only confirm what it knows."""
        if orders:
            await asyncio.wait(orders)
        await self._engine(engine_id).confirm(attempts)

    async def _attach(self, engine_ids: Sequence[EngineId]) -> None:
        try:
            await self._journal.attach(engine_ids)
        except BaseException:
            self._leases.not_attached(engine_ids)
            raise

    async def _fence(self, attempts: Sequence[JobAttempt]) -> None:
        self._spans.lost(attempts, self._leases.why_moved)
        try:
            fences = await self._journal.fence(attempts)
        except BaseException:
            self._leases.not_fenced(attempts)
            raise
        for fence in fences:
            if (waiting := self._leases.places.waiting(fence.job_id)) and not fence.ended:
                told = len(fence.output.token_ids)
                logger.info("goes on after token %d: %s", told, waiting.moved_by, extra=about_job(waiting.job))
        self.carry_out(self._leases.fenced(attempts, fences, self._now()[1]))

    async def _mark(self, marks: Sequence[ShareMark]) -> None:
        try:
            await self._ledger.mark_shares(marks, self._holder)
        except BaseException:
            self._leases.not_marked(marks)
            raise
        self._leases.marked()

    async def fail(self, failures: Sequence[Failure]) -> None:
        try:
            await self._journal.fail(failures)
        except BaseException:
            self._leases.not_failed(failures)
            raise
        self._spans.failed(failures)
        for failure in failures:
            logger.debug("has ended: %s", failure.error, extra=about(failure.job_id, failure.origin))
        self.carry_out(self._leases.failed(failures))

    def lose(self, engine_id: EngineId) -> None:
        """This engine is dead; what it worked on goes on elsewhere."""
        logger.warning("engine %s is lost", engine_id)
        self.carry_out(self._leases.engine_lost(engine_id, self._now()[0]))

    def answered(self, job_ids: Iterable[JobId]) -> None:
        """These jobs are confirmed or refused: nothing waits for their orders any more."""
        for job_id in job_ids:
            self._orders.pop(job_id, None)
